// A loader with libbpf: loader OBJECT WORD..., each word one of those below, done in order.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

static const char *path;

static struct bpf_object *load(void)
{
	struct bpf_object *obj = bpf_object__open_file(path, NULL);

	if (!obj || bpf_object__load(obj)) {
		fprintf(stderr, "%s: cannot be loaded\n", path);
		exit(1);
	}
	return obj;
}

static void run(struct bpf_object *obj, const char *name, int times)
{
	char data[64] = {};
	struct bpf_program *prog = bpf_object__find_program_by_name(obj, name);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = sizeof(data), .repeat = times);

	if (!prog || bpf_prog_test_run_opts(bpf_program__fd(prog), &opts)) {
		perror(name);
		exit(1);
	}
}

static void *thread(void *arg)
{
	struct bpf_object *obj = load();

	run(obj, "counted", 1);
	bpf_object__close(obj);
	return NULL;
}

int main(int argc, char **argv)
{
	struct bpf_object *obj = NULL;

	path = argv[1];
	for (int i = 2; i < argc; i++) {
		const char *word = argv[i];

		if (!strcmp(word, "load")) {
			obj = load();
		} else if (!strcmp(word, "run")) {
			run(obj, "counted", 3);
			run(obj, "another", 2);
		} else if (!strcmp(word, "leave")) {
			_exit(0);
		} else if (!strcmp(word, "kill")) {
			kill(getpid(), SIGKILL);
		} else if (!strcmp(word, "fork")) { // the child uses the programs, and loads its own
			pid_t pid = fork();

			if (pid == 0) {
				run(obj, "counted", 5);
				run(load(), "another", 7);
				_exit(0);
			}
			waitpid(pid, NULL, 0);
		} else if (!strcmp(word, "daemon")) { // goes on in the background, of another session and without a parent
			if (fork())
				_exit(0);
			setsid();
			if (fork())
				_exit(0);
			usleep(50000); // until the command has ended
		} else if (!strcmp(word, "reuse")) { // with the maps of the object before
			struct bpf_object *next = bpf_object__open_file(path, NULL);
			struct bpf_map *map, *from;

			bpf_object__for_each_map(map, next) {
				from = bpf_object__find_map_by_name(obj, bpf_map__name(map));
				if (from && bpf_map__reuse_fd(map, bpf_map__fd(from)))
					perror(bpf_map__name(map));
			}
			if (bpf_object__load(next)) {
				fprintf(stderr, "%s: cannot be loaded with the maps of another\n", path);
				return 1;
			}
			bpf_object__close(obj);
			obj = next;
		} else if (!strcmp(word, "threads")) {
			pthread_t t[8];

			for (int n = 0; n < 8; n++)
				pthread_create(&t[n], NULL, thread, NULL);
			for (int n = 0; n < 8; n++)
				pthread_join(t[n], NULL);
		} else {
			fprintf(stderr, "unknown word %s\n", word);
			return 2;
		}
	}
	return 0;
}
