/* The least a launcher can do: start N programs, so many at once, each with two files of its own.
   loop N AT_ONCE FOLDER PROGRAM [ARGUMENT ...] */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    int jobs = atoi(argv[1]), at_once = atoi(argv[2]), running = 0;
    char path[4096];
    for (int i = 0; i < jobs; i++) {
        posix_spawn_file_actions_t files;
        pid_t pid;
        if (running == at_once && wait(NULL) > 0) running--;
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        for (int fd = 1; fd <= 2; fd++) {
            snprintf(path, sizeof path, "%s/%d.%c", argv[3], i, fd == 1 ? 'o' : 'e');
            posix_spawn_file_actions_addopen(&files, fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        }
        if (posix_spawn(&pid, argv[4], &files, NULL, argv + 4, environ)) return 1;
        posix_spawn_file_actions_destroy(&files);
        running++;
    }
    while (running-- > 0) wait(NULL);
    return 0;
}
