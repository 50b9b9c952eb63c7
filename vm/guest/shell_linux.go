package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ShellParam is the argument of the agent that makes it run the first test on the console, for a person, instead of the
// job: its value is the size of the terminal, ROWSxCOLUMNS. There is no port then, and nothing is collected.
const ShellParam = "bpfcov.shell"

// shell runs the first test's command on the console until it ends.
func shell(job *Job, size string) error {
	if err := setClock(); err != nil {
		complain("%v", err)
	}
	errs, err := prepare(job)
	for _, err := range errs {
		complain("%v", err)
	}
	if err != nil {
		return err
	}
	if len(job.Tests) == 0 {
		return fmt.Errorf("shell: no command in the job")
	}
	t := job.Tests[0]
	tty, err := openConsole()
	if err != nil {
		return fmt.Errorf("shell: %w", err)
	}
	defer tty.Close()
	var ws unix.Winsize
	if n, _ := fmt.Sscanf(size, "%dx%d", &ws.Row, &ws.Col); n == 2 {
		// Without a size programs take the console to be 80 columns wide, which is no reason to have no shell.
		_ = unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &ws)
	}
	env := append(defaultEnv(), t.Env...)
	cmd := exec.Command(t.Command[0], t.Command[1:]...)
	cmd.Env, cmd.Dir = env, t.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := startPlain(cmd); err != nil {
		return err
	}
	err = cmd.Wait()
	if _, ended := err.(*exec.ExitError); ended {
		return nil // the last command of a shell is its exit status
	}
	return err
}

// openConsole opens the terminal behind /dev/console, which cannot be a controlling one itself.
func openConsole() (*os.File, error) {
	b, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(b))
	if len(names) == 0 {
		return nil, fmt.Errorf("the kernel has no console")
	}
	return os.OpenFile(filepath.Join("/dev", names[len(names)-1]), os.O_RDWR|unix.O_NOCTTY, 0)
}
