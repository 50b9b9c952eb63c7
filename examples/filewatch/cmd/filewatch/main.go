// Command filewatch prints which process opens which file and which program it executes.
//
//	filewatch                          everything, until interrupted
//	filewatch -comm nginx -prefix /etc  files below /etc that nginx opens
//	filewatch -kind exec -json         programs executed, one JSON object a line
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/bpfcov/bpfcov/examples/filewatch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "filewatch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("filewatch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		o      filewatch.Options
		pid    = flags.Uint("pid", 0, "only this process")
		uid    = flags.Int("uid", -1, "only this user")
		kind   = flags.String("kind", "", `only "open" or "exec"`)
		asJSON = flags.Bool("json", false, "print JSON, one object a line")
	)
	flags.StringVar(&o.Filter.Comm, "comm", "", "only threads whose name starts with this")
	flags.StringVar(&o.Filter.Prefix, "prefix", "", "only paths that start with this")
	flags.StringVar(&o.Filter.Contains, "contains", "", "only paths that contain this")
	flags.StringVar((*string)(&o.Hook), "hook", "", `"fentry" or "kprobe"; the better one by default`)
	flags.StringVar((*string)(&o.Buffer), "buffer", "", `"ring" or "perf"; the better one by default`)
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.Filter.PID = uint32(*pid)
	if *uid >= 0 {
		u := uint32(*uid)
		o.Filter.UID = &u
	}
	switch *kind {
	case "":
	case "open":
		o.Filter.Kinds = []filewatch.Kind{filewatch.Open}
	case "exec":
		o.Filter.Kinds = []filewatch.Kind{filewatch.Exec}
	default:
		return fmt.Errorf("-kind %q: want open or exec", *kind)
	}

	w, err := filewatch.Start(o)
	if err != nil {
		return err
	}
	defer w.Close()
	fmt.Fprintf(stderr, "filewatch: watching by %s and %s buffer\n", w.Hook, w.Buffer)
	stop := context.AfterFunc(ctx, func() { w.Interrupt() })
	defer stop()

	encoder := json.NewEncoder(stdout)
	for {
		e, err := w.Next()
		if errors.Is(err, filewatch.ErrInterrupted) {
			break
		}
		if err != nil {
			return err
		}
		if *asJSON {
			err = encoder.Encode(e)
		} else {
			_, err = fmt.Fprintln(stdout, e)
		}
		if err != nil {
			return err
		}
	}
	lost, err := w.Lost()
	if err == nil && lost != (filewatch.Lost{}) {
		fmt.Fprintf(stderr, "filewatch: lost %+v\n", lost)
	}
	return err
}
