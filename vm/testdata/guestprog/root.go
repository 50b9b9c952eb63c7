package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// root checks that "/" is an overlay with a file below it, and that it can be written to.
func root(name, size, text string) error {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return err
	}
	if !strings.Contains("\n"+string(mounts), "\noverlay / overlay ") {
		return fmt.Errorf("/ is no overlay:\n%s", mounts)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, len(text))
	if _, err := f.Read(head); err != nil && len(text) > 0 {
		return err
	}
	if strconv.FormatInt(st.Size(), 10) != size || string(head) != text {
		return fmt.Errorf("%s: got %d bytes that begin with %q, want %s and %q", name, st.Size(), head, size, text)
	}
	for _, p := range []string{"/new", name} { // a new one, and over one that is below
		if err := os.WriteFile(p, []byte("written"), 0o644); err != nil {
			return err
		}
		if b, err := os.ReadFile(p); err != nil || string(b) != "written" {
			return fmt.Errorf("%s: got %q, %v, after it was written", p, b, err)
		}
	}
	return nil
}
