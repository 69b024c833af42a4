/* Decoding one JPEG in memory with libjpeg-turbo's decoder, called through two functions that return.
 *
 * libjpeg reports an error by a callback that must not return; setjmp and longjmp stay in this file.
 * Warnings that say that pixels are missing or made up are errors here; those that say nothing about
 * the pixels are ignored. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>
#include <jerror.h>

/* Most scans: a progressive file has some ten. Each costs a pass over all coefficients, however few
 * bytes it has; libjpeg-turbo's own fuzzers stop at as many. */
enum { MAX_SCANS = 500 };

/* How the colours are to be understood: by the file's own markers and libjpeg's rules; or, within a
 * TIFF, as the TIFF says. */
enum colours { BY_MARKERS = 0, AS_STORED = 1, YCBCR = 2 };

/* A JPEG: its bytes, and the bytes of an abbreviated one that only has tables, or NULL. */
struct jpeg_file {
  const uint8_t *bytes;
  size_t len;
  const uint8_t *tables;
  size_t tables_len;
  int colours;
  /* The image is decoded at one part in so many of its height and width: 1, 2, 4 or 8. */
  int shrink;
};

/* How a function ended: the file was decoded, or it is damaged, or of a form that libjpeg knows and
 * does not decode. */
enum outcome { DAMAGED = 0, DECODED = 1, NOT_READ = 2 };

struct jpeg_header {
  uint32_t width;
  uint32_t height;
  uint32_t components;
  /* Whether a component has fewer numbers than pixels, as only YCbCr and its like have. */
  uint32_t subsampled;
};

struct session {
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf failed;
  char *message;
  /* Whether the bytes ended before an end-of-image marker, in whose place libjpeg puts one. */
  int ended;
};

static void fail(j_common_ptr cinfo) {
  struct session *session = (struct session *)cinfo->err;
  session->errors.format_message(cinfo, session->message);
  longjmp(session->failed, 1);
}

static void on_message(j_common_ptr cinfo, int level) {
  if (level >= 0) return;
  switch (cinfo->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* bytes between two segments */
    case JWRN_ADOBE_XFORM:     /* a number that has a default */
    case JWRN_JFIF_MAJOR:      /* a later version of JFIF */
    case JWRN_NOT_SEQUENTIAL:  /* numbers that mean nothing in a file that is not progressive */
      return;
    case JWRN_JPEG_EOF: /* whether something is missing shows when all is decoded */
      ((struct session *)cinfo->err)->ended = 1;
      return;
    default:
      fail(cinfo);
  }
}

static void on_progress(j_common_ptr cinfo) {
  if (((j_decompress_ptr)cinfo)->input_scan_number > MAX_SCANS) {
    struct session *session = (struct session *)cinfo->err;
    session->errors.msg_code = JERR_BAD_PROGRESSION;
    snprintf(session->message, JMSG_LENGTH_MAX, "more than %d scans", MAX_SCANS);
    longjmp(session->failed, 1);
  }
}

/* Whether a file that lacks its end-of-image marker lacks nothing else, given that no entropy-coded
 * data were missing (JWRN_HIT_MARKER). Of a progressive file every coefficient must have all its bits;
 * arithmetic decoding does not notice when data are missing. */
static int lacks_nothing(j_decompress_ptr cinfo) {
  if (cinfo->arith_code) return 0;
  if (!cinfo->progressive_mode) return 1;
  for (int component = 0; component < cinfo->num_components; component++) {
    for (int coefficient = 0; coefficient < DCTSIZE2; coefficient++) {
      if (cinfo->coef_bits[component][coefficient] != 0) return 0;
    }
  }
  return 1;
}

/* Prepares `cinfo` and reads the headers up to the first scan. */
static void begin(j_decompress_ptr cinfo, struct session *session, const struct jpeg_file *file) {
  jpeg_create_decompress(cinfo);
  session->progress.progress_monitor = on_progress;
  cinfo->progress = &session->progress;
  if (file->tables != NULL) {
    jpeg_mem_src(cinfo, file->tables, file->tables_len);
    jpeg_read_header(cinfo, FALSE);
  }
  jpeg_mem_src(cinfo, file->bytes, file->len);
  jpeg_read_header(cinfo, TRUE);
  if (file->colours == AS_STORED) {
    cinfo->jpeg_color_space = JCS_UNKNOWN;
    cinfo->out_color_space = JCS_UNKNOWN;
  } else if (file->colours == YCBCR && cinfo->num_components == 3) {
    cinfo->jpeg_color_space = JCS_YCbCr;
    cinfo->out_color_space = JCS_RGB;
  } else if (cinfo->num_components == 1) {
    cinfo->out_color_space = JCS_GRAYSCALE;
  } else if (cinfo->num_components == 3) {
    cinfo->out_color_space = JCS_RGB;
  } else if (cinfo->num_components == 4) {
    cinfo->out_color_space = JCS_CMYK;
  }
  cinfo->scale_num = 1;
  cinfo->scale_denom = (unsigned int)file->shrink;
}

/* One of the two functions below, within which an error ends in the caller's hand. */
static int decode(const struct jpeg_file *file, struct jpeg_header *header, uint8_t *pixels,
                  size_t pixels_len, char *message) {
  struct jpeg_decompress_struct cinfo;
  struct session session;
  cinfo.err = jpeg_std_error(&session.errors);
  session.errors.error_exit = fail;
  session.errors.emit_message = on_message;
  session.message = message;
  session.ended = 0;
  /* So that destroying is safe whatever fails first. */
  cinfo.mem = NULL;
  if (setjmp(session.failed)) {
    jpeg_destroy_decompress(&cinfo);
    switch (session.errors.msg_code) {
      case JERR_SOF_UNSUPPORTED:
      case JERR_BAD_PRECISION:
      case JERR_FRACT_SAMPLE_NOTIMPL:
      case JERR_CONVERSION_NOTIMPL:
      case JERR_CCIR601_NOTIMPL:
        return NOT_READ;
      default:
        return DAMAGED;
    }
  }
  begin(&cinfo, &session, file);
  if (header != NULL) {
    header->width = cinfo.image_width;
    header->height = cinfo.image_height;
    header->components = (uint32_t)cinfo.num_components;
    header->subsampled = cinfo.max_h_samp_factor * cinfo.max_v_samp_factor > 1;
  }
  if (pixels != NULL) {
    jpeg_start_decompress(&cinfo);
    for (int index = 0; index < cinfo.num_components; index++) {
      /* It is set by a component's first scan. */
      if (cinfo.comp_info[index].quant_table == NULL) {
        snprintf(message, JMSG_LENGTH_MAX, "there is no scan of component %d", index + 1);
        session.errors.msg_code = JERR_BAD_PROGRESSION;
        longjmp(session.failed, 1);
      }
    }
    size_t row_len = (size_t)cinfo.output_width * (size_t)cinfo.output_components;
    if (row_len * cinfo.output_height > pixels_len) {
      snprintf(message, JMSG_LENGTH_MAX, "its size has changed");
      session.errors.msg_code = JERR_BUFFER_SIZE;
      longjmp(session.failed, 1);
    }
    while (cinfo.output_scanline < cinfo.output_height) {
      JSAMPROW row = pixels + row_len * cinfo.output_scanline;
      jpeg_read_scanlines(&cinfo, &row, 1);
    }
    /* Reads up to the end-of-image marker. */
    int complete = lacks_nothing(&cinfo);
    jpeg_finish_decompress(&cinfo);
    if (session.ended && !complete) {
      snprintf(message, JMSG_LENGTH_MAX, "Premature end of JPEG file");
      session.errors.msg_code = JERR_INPUT_EOF;
      longjmp(session.failed, 1);
    }
  }
  jpeg_destroy_decompress(&cinfo);
  return DECODED;
}

/* Reads the headers. If it fails, `message` (JMSG_LENGTH_MAX bytes) says why. */
int dataset_jpeg_header(const struct jpeg_file *file, struct jpeg_header *header, char *message) {
  return decode(file, header, NULL, 0, message);
}

/* Decodes the whole file into `pixels`, which has room for `pixels_len` bytes: height x width x
 * components by the header, height and width divided by `shrink` and rounded up. If it fails, `message`
 * (JMSG_LENGTH_MAX bytes) says why. */
int dataset_jpeg_pixels(const struct jpeg_file *file, uint8_t *pixels, size_t pixels_len,
                        char *message) {
  return decode(file, NULL, pixels, pixels_len, message);
}
