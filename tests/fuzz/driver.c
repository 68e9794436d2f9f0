/*
 * Runs a fuzz target without libFuzzer: every file given, and every file of every folder given,
 * once.
 *
 * For compilers that have no fuzzer, and for replaying a finding under another sanitizer:
 *
 *   build/asan/fuzz/codec/json tests/corpus/json
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_BYTES_MAX);
    uint8_t *exact = NULL;
    size_t size;

    if (!file || !data) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    size = fread(data, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    exact = malloc(
        size ? size : 1); /* of its exact size, so that AddressSanitizer sees every step too far */
    if (!exact)
        exit(2);
    for (size_t i = 0; i < size; i++)
        exact[i] = data[i];
    free(data);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

static int run_path(const char *path)
{
    struct stat st;
    struct dirent **names = NULL;
    int count;
    int files = 0;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return run_file(path);
    count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char inside[1024];

        snprintf(inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            files += run_path(inside);
        free(names[i]);
    }
    free(names);
    return files;
}

int main(int argc, char **argv)
{
    int files = 0;

    for (int i = 1; i < argc; i++)
        files += run_path(argv[i]);
    printf("%d inputs\n", files);
    return 0;
}
