package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-kind", "write"}, `-kind "write": want open or exec`},
		{[]string{"-hook", "uprobe", "-comm", strings.Repeat("x", 16)}, "at most 15"},
		{[]string{"-nothing"}, "flag provided but not defined"},
	} {
		var stdout, stderr bytes.Buffer
		err := run(context.Background(), tt.args, &stdout, &stderr)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got error %v, want %q in it", tt.args, err, tt.want)
		}
		if stdout.Len() > 0 {
			t.Errorf("%v: got output %q, want none", tt.args, &stdout)
		}
	}
}
