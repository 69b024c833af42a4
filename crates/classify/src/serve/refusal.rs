//! Requests that are not answered, and why.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dataset::ImageFault;
use serde_json::json;

use crate::NotFinite;

/// A request that is refused. Its text is for the one who sent it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "this server does not answer to the name '{0}'; use its address or localhost, or start it with \
         --host {0}"
    )]
    OtherHost(String),
    #[error("the request names no host; HTTP/1.1 needs the header Host")]
    NoHost,
    #[error("the page at {0} may not use this server")]
    OtherOrigin(String),
    #[error("the body has more than {limit} bytes; send fewer or smaller images")]
    TooLarge { limit: usize },
    #[error("the body did not come within {seconds} seconds")]
    TooSlow { seconds: u64 },
    #[error("the body ended too early")]
    Incomplete,
    #[error("too many requests are waiting; try again in a second")]
    Busy,
    #[error(transparent)]
    Image(#[from] dataset::Error),
    #[error(transparent)]
    Features(#[from] NotFinite),
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Missing(String),
    #[error("the request is compressed, which is not supported; send it without Content-Encoding")]
    Compressed,
    #[error("could not classify: {0}")]
    Failed(String),
    #[error("the server is stopping")]
    Stopping,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        if let Refusal::Image(dataset::Error::Image(image)) = self {
            return match image.fault {
                ImageFault::Size { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                ImageFault::NotAnImage { .. } | ImageFault::OtherFile { .. } => {
                    StatusCode::UNSUPPORTED_MEDIA_TYPE
                }
                ImageFault::Damaged { .. } | ImageFault::Form { .. } => {
                    StatusCode::UNPROCESSABLE_ENTITY
                }
            };
        }
        match self {
            Refusal::OtherHost(_) | Refusal::OtherOrigin(_) => StatusCode::FORBIDDEN,
            Refusal::NoHost | Refusal::Incomplete | Refusal::Malformed(_) => {
                StatusCode::BAD_REQUEST
            }
            Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Compressed => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::Image(_) | Refusal::Features(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Refusal::Busy | Refusal::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Missing(_) => StatusCode::NOT_FOUND,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text with the causes that it has.
    pub(super) fn text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            if !text.ends_with(&message) {
                text = format!("{text}: {message}");
            }
            cause = error.source();
        }
        text
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(json!({"error": self.text()}))).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        // What is left of the body is not read.
        if matches!(self, Refusal::TooLarge { .. } | Refusal::TooSlow { .. } | Refusal::Busy) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
