/* Plays a URL with libxine and writes the frames that it decodes to a file: planes Y, U and V of
 * each, without gaps, which is the form of FFmpeg's rawvideo.
 *
 *   xine_play URL FILE [--start MILLISECONDS] [--frames-max N]
 *
 * Exit status: 0 played to the end or to N frames, 1 the library refused something, 2 wrong usage.
 */
#define XINE_ENABLE_EXPERIMENTAL_FEATURES
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xine.h>
#include <xine/video_out.h>

/* Closing a stream may wait for threads that wait for the network: the process's end is enough. */
static void leave(FILE *out, int status) {
    if (out)
        fclose(out);
    fflush(NULL);
    _Exit(status);
}

static void fail(FILE *out, const char *what, int error) {
    fprintf(stderr, "xine_play: %s (error %d)\n", what, error);
    leave(out, 1);
}

static size_t write_plane(FILE *out, const vo_frame_t *image, int plane, int width, int height) {
    size_t written = 0;
    for (int row = 0; row < height; row++)
        written += fwrite(image->base[plane] + (size_t)row * image->pitches[plane], 1, width, out);
    return written;
}

/* The public frame points to the first plane only, and each has its own allocation. */
static int write_frame(FILE *out, const xine_video_frame_t *frame) {
    const vo_frame_t *image = frame->xine_frame;
    int width = frame->width, height = frame->height;
    size_t written = write_plane(out, image, 0, width, height);
    written += write_plane(out, image, 1, width / 2, height / 2);
    written += write_plane(out, image, 2, width / 2, height / 2);
    return written == (size_t)width * height * 3 / 2;
}

int main(int argc, char **argv) {
    int start = 0;
    long frames_max = 0, frames = 0;

    if (argc < 3 || argc % 2 == 0) {
        fprintf(stderr, "usage: xine_play URL FILE [--option value]...\n");
        return 2;
    }
    for (int i = 3; i < argc; i += 2) {
        if (!strcmp(argv[i], "--start")) {
            start = atoi(argv[i + 1]);
        } else if (!strcmp(argv[i], "--frames-max")) {
            frames_max = atol(argv[i + 1]);
        } else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
    }
    FILE *out = fopen(argv[2], "wb");
    if (!out)
        fail(out, "cannot write the file", 0);

    xine_t *xine = xine_new();
    xine_init(xine);
    xine_engine_set_param(xine, XINE_ENGINE_PARAM_VERBOSITY, XINE_VERBOSITY_LOG);
    xine_video_port_t *video = xine_new_framegrab_video_port(xine);
    xine_audio_port_t *audio = xine_open_audio_driver(xine, "none", NULL);
    xine_stream_t *stream = xine_stream_new(xine, audio, video);
    if (!stream)
        fail(out, "no stream", 0);
    if (!xine_open(stream, argv[1]))
        fail(out, "cannot open", xine_get_error(stream));
    if (!xine_play(stream, 0, start))
        fail(out, "cannot play", xine_get_error(stream));

    xine_video_frame_t frame;
    while ((frames_max == 0 || frames < frames_max) && xine_get_next_video_frame(video, &frame)) {
        if (frame.colorspace != XINE_IMGFMT_YV12 || !write_frame(out, &frame))
            fail(out, "an unexpected frame", 0);
        fprintf(stderr, "frame %ld at %d ms\n", frames, frame.pos_time);
        xine_free_video_frame(video, &frame);
        frames++;
    }
    leave(out, 0);
}
