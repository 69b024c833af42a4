//! What the server answers: the page, and the interface that the page uses.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{
    DefaultBodyLimit, FromRequest, Multipart, Path, Query, Request, State as Extract,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use backbone::Pixels;
use report::encode_png;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use super::drawing::SIDE;
use super::limits::RequestBody;
use super::prepare::{Shown, aside};
use super::protocol_v2;
use super::refusal::Refusal;
use super::test_set::Evaluated;
use crate::Scores;

/// Classes that an answer lists with their names, the most probable first.
const TOP: usize = 5;
/// Most files of a request.
const MAX_FILES: usize = 256;
/// Most rows of the test split in an answer.
const MAX_ROWS: usize = 200;

/// The files of the page, with their types.
const PAGE: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("page/page.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// All that is answered.
pub(super) fn router(state: Arc<State>) -> Router {
    let mut router = Router::new()
        .route("/model", get(model))
        .route("/classify", post(classify))
        .route("/heatmap", post(heat_map))
        .route("/test", get(test_rows))
        .route("/test/{row}", get(test_image));
    for (path, form, text) in PAGE {
        router = router.route(path, get(async move || ([(header::CONTENT_TYPE, form)], text)));
    }
    router
        .merge(protocol_v2::router())
        .fallback(unknown)
        // `Limits` is the one that limits bodies.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn unknown(request: Request) -> Refusal {
    Refusal::Missing(format!("there is nothing at {}", request.uri().path()))
}

/// The model, for the page.
async fn model(Extract(state): Extract<Arc<State>>) -> Json<Value> {
    let (height, width) = state.size;
    Json(json!({
        "name": state.name,
        "classes": state.class_names,
        "heads": state.heads,
        "height": height,
        "width": width,
    }))
}

/// The result for an image.
#[derive(Serialize)]
struct Classified<'a> {
    top: Vec<Ranked<'a>>,
    /// The probability of each class.
    probabilities: Vec<f64>,
}

/// One of the most probable classes.
#[derive(Serialize)]
struct Ranked<'a> {
    class: usize,
    name: &'a str,
    probability: f64,
}

impl<'a> Classified<'a> {
    fn new(scores: Scores, class_names: &'a [String]) -> Classified<'a> {
        let ranked = scores.ranked().into_iter().take(TOP);
        let top = ranked
            .map(|(class, probability)| Ranked { class, name: &class_names[class], probability })
            .collect();
        Classified { top, probabilities: scores.probabilities }
    }
}

/// Classifies the image that is the body; or each file of a `multipart/form-data` body; or a drawing, which is
/// JSON.
async fn classify(
    Extract(state): Extract<Arc<State>>,
    request: Request,
) -> Result<Response, Refusal> {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let body = state.limits.read(&head.headers, body).await?;
    let form = content_type(&head.headers);
    if form == "multipart/form-data" {
        return classify_files(&state, head, body, started).await;
    }
    let decoder = state.decoder;
    let is_drawing = form == "application/json";
    let prepare = move || -> Result<_, Refusal> {
        if is_drawing {
            let (input, seen) = decoder.drawing(&body.bytes)?;
            return Ok((input, Some(seen)));
        }
        Ok((decoder.file("the image", &body.bytes)?, None))
    };
    let (input, seen) = aside(prepare).await??;
    let scores = state.batcher.try_classify(input)?.answer().await?;
    let mut answer = json!(Classified::new(scores, &state.class_names));
    if let Some(pixels) = seen {
        answer["seen"] = json!({"side": SIDE, "pixels": pixels});
    }
    answer["milliseconds"] = milliseconds(started);
    Ok(Json(answer).into_response())
}

/// Classifies each file of a form. One that cannot be classified has an error in its place.
async fn classify_files(
    state: &State,
    head: Parts,
    body: RequestBody,
    started: Instant,
) -> Result<Response, Refusal> {
    state.batcher.check_room()?;
    let files = files_of(head, &body).await?;
    let mut pending = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let decoder = state.decoder;
        let of_errors = name.clone();
        let input = aside(move || decoder.file(&of_errors, &bytes)).await?;
        let sent = match input {
            Ok(input) => Ok(state.batcher.classify(input).await?),
            Err(refusal) => Err(refusal),
        };
        pending.push((name, sent));
    }
    let mut images = Vec::with_capacity(pending.len());
    for (name, sent) in pending {
        let scores = match sent {
            Ok(pending) => pending.answer().await,
            Err(refusal) => Err(refusal),
        };
        let mut image = match scores {
            Ok(scores) => json!(Classified::new(scores, &state.class_names)),
            Err(refusal) => json!({"error": refusal.text()}),
        };
        image["name"] = json!(name);
        images.push(image);
    }
    let answer = json!({"images": images, "milliseconds": milliseconds(started)});
    Ok(Json(answer).into_response())
}

/// The files of a form, each with its name.
async fn files_of(
    head: Parts,
    body: &RequestBody,
) -> Result<Vec<(String, axum::body::Bytes)>, Refusal> {
    let malformed = |why: String| Refusal::Malformed(format!("the form cannot be read: {why}"));
    let request = Request::from_parts(head, Body::from(body.bytes.clone()));
    let form = Multipart::from_request(request, &()).await;
    let mut form = form.map_err(|rejection| malformed(rejection.body_text()))?;
    let mut files = Vec::new();
    loop {
        let field = form.next_field().await.map_err(|error| malformed(error.body_text()))?;
        let Some(field) = field else { break };
        let name = field.file_name().or(field.name()).unwrap_or("a file").to_owned();
        let bytes = field.bytes().await.map_err(|error| malformed(error.body_text()))?;
        files.push((name, bytes));
        if files.len() > MAX_FILES {
            return Err(malformed(format!("it has more than {MAX_FILES} files")));
        }
    }
    if files.is_empty() {
        return Err(malformed("it has no file".to_owned()));
    }
    Ok(files)
}

/// A class whose heat map is asked for.
#[derive(Deserialize)]
struct WhichMap {
    /// Its index.
    class: usize,
    /// The row of the test split whose image it is of, rather than of the body.
    row: Option<usize>,
}

/// A picture of the heat map of a class over an image, as PNG. The image is that of the body, a file or a
/// drawing, or one of the test split.
async fn heat_map(
    Extract(state): Extract<Arc<State>>,
    Query(WhichMap { class, row }): Query<WhichMap>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let classes = state.class_names.len();
    if class >= classes {
        let why = format!("there are {classes} classes, and so none of the index {class}");
        return Err(Refusal::Missing(why));
    }
    let body = state.limits.read(&headers, body).await?;
    let decoder = state.decoder;
    let is_drawing = content_type(&headers) == "application/json";
    let (input, shown) = match row {
        Some(row) => {
            let prepare = move |test: &Evaluated| Ok(decoder.shown(test.image(row)?));
            state.test_set.with(prepare).await?
        }
        None => aside(move || decoder.shown_of(&body.bytes, is_drawing)).await??,
    };
    let map = state.batcher.try_heat_map(input, class)?.answer().await?;
    let png = aside(move || {
        let Shown { height, width, channels, pixels } = shown;
        let picture = map.over(Pixels { height, width, channels, bytes: &pixels });
        encode_png(height, width, 3, &picture)
    });
    let png = png.await?.map_err(|error| Refusal::Failed(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
}

/// A section of the test split.
#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    from: usize,
    #[serde(default = "Section::default_count")]
    count: usize,
}

impl Section {
    fn default_count() -> usize {
        60
    }
}

/// A section of the test split, or why it cannot be shown.
async fn test_rows(
    Extract(state): Extract<Arc<State>>,
    Query(Section { from, count }): Query<Section>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(match state.test_set.read().await? {
        Err(why) => json!({"missing": why}),
        Ok(evaluated) => {
            let rows = evaluated.rows.iter().skip(from).take(count.min(MAX_ROWS));
            json!({
                "images": evaluated.rows.len(),
                "mistakes": evaluated.mistakes,
                "rows": rows.collect::<Vec<_>>(),
            })
        }
    }))
}

/// An image of the test split as PNG.
async fn test_image(
    Extract(state): Extract<Arc<State>>,
    Path(row): Path<usize>,
) -> Result<Response, Refusal> {
    let png = state.test_set.with(move |test| test.png(row)).await?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
}

/// The media type of a body, without parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

/// The time since a request's headers came.
fn milliseconds(started: Instant) -> Value {
    json!((started.elapsed().as_secs_f64() * 1e5).round() / 100.0)
}
