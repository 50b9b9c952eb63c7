//go:build !unix

package collect

import "os"

func signalName(*os.ProcessState) string { return "" }
