/* The physical limit: start and reap processes, two output files each, and nothing else.
 *
 *     spawn JOBS AT_ONCE WORK FOLDER PROGRAM ARGUMENT...
 *
 * WORK: so many microseconds of CPU are used up after each start, as by a parent that has
 * something to do for each job.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static void start(int number, const char *folder, char **command)
{
    char out[4096], err[4096];
    posix_spawn_file_actions_t files;
    pid_t child;
    int flags = O_WRONLY | O_CREAT | O_TRUNC;

    snprintf(out, sizeof out, "%s/%d.o", folder, number);
    snprintf(err, sizeof err, "%s/%d.e", folder, number);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, out, flags, 0644);
    posix_spawn_file_actions_addopen(&files, 2, err, flags, 0644);
    if (posix_spawn(&child, command[0], &files, NULL, command, environ)) {
        perror(command[0]);
        exit(1);
    }
    posix_spawn_file_actions_destroy(&files);
}

static long used(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

static void work(long microseconds)
{
    long end = used() + microseconds;

    while (microseconds && used() < end)
        ;
}

int main(int count, char **argument)
{
    int status;

    if (count < 6)
        return 2;
    int jobs = atoi(argument[1]), at_once = atoi(argument[2]), each = atoi(argument[3]);
    for (int i = 0; i < jobs + at_once; i++) {
        if (i >= at_once && (wait(&status) < 0 || status))
            return 1;
        if (i < jobs) {
            start(i, argument[4], argument + 5);
            work(each);
        }
    }
    return 0;
}
