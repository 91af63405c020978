/* Plays a URL with libmms and writes the ASF header and packets it hands out to a file.
 *
 *   libmms_play URL FILE [--bandwidth BITS] [--seek-time SECONDS] [--seek-offset BYTES]
 *               [--seek-after BYTES] [--bytes-max N]
 *
 * Exit status: 0 played, 1 the library refused something, 2 wrong usage.
 */
#include <libmms/mmsx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An ASF header at least as long as the library's own limit. */
#define HEADER_MAX 16384

static int fail(const char *what) {
    fprintf(stderr, "libmms_play: %s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    int bandwidth = 0;
    double seek_time = -1;
    long long seek_offset = -1, seek_after = 0, bytes_max = 0;

    if (argc < 3 || argc % 2 == 0) {
        fprintf(stderr, "usage: libmms_play URL FILE [--option value]...\n");
        return 2;
    }
    for (int i = 3; i < argc; i += 2) {
        if (!strcmp(argv[i], "--bandwidth")) {
            bandwidth = atoi(argv[i + 1]);
        } else if (!strcmp(argv[i], "--seek-time")) {
            seek_time = atof(argv[i + 1]);
        } else if (!strcmp(argv[i], "--seek-offset")) {
            seek_offset = atoll(argv[i + 1]);
        } else if (!strcmp(argv[i], "--seek-after")) {
            seek_after = atoll(argv[i + 1]);
        } else if (!strcmp(argv[i], "--bytes-max")) {
            bytes_max = atoll(argv[i + 1]);
        } else {
            fprintf(stderr, "unknown option %s\n", argv[i]);
            return 2;
        }
    }

    mmsx_t *mms = mmsx_connect(NULL, NULL, argv[1], bandwidth > 0 ? bandwidth : 100 * 1000 * 1000);
    if (!mms)
        return fail("connection refused");
    FILE *out = fopen(argv[2], "wb");
    if (!out)
        return fail("cannot write the file");

    /* A seek moves the position past the header, so the header is written by hand. */
    char header[HEADER_MAX], buffer[64 * 1024];
    long long written = 0;
    int got;
    if (seek_time >= 0 || seek_offset >= 0) {
        int length = mmsx_peek_header(mms, header, sizeof header);
        if (length <= 0)
            return fail("no header");
        written += fwrite(header, 1, length, out);
        for (long long left = seek_after; left > 0; left -= got) {
            got = mmsx_read(NULL, mms, buffer, left < (long long)sizeof buffer ? (int)left : (int)sizeof buffer);
            if (got <= 0)
                return fail("ended before the seek");
        }
        if (seek_time >= 0 && !mmsx_time_seek(NULL, mms, seek_time))
            return fail("time seek refused");
        if (seek_offset >= 0 && mmsx_seek(NULL, mms, seek_offset, SEEK_SET) < 0)
            return fail("offset seek refused");
        fprintf(stderr, "position after seek: %lld\n", (long long)mmsx_get_current_pos(mms));
    }

    while ((bytes_max == 0 || written < bytes_max) && (got = mmsx_read(NULL, mms, buffer, sizeof buffer)) > 0)
        written += fwrite(buffer, 1, got, out);
    fclose(out);
    mmsx_close(mms);
    return 0;
}
