// Package command is the program shards: its subcommands, their flags, and what they print. A main package of a few lines
// calls it.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitAborted = 3
)

// Run dispatches to a subcommand and returns the exit code: 0 done, 1 failed or nothing found, 2 usage or lock, 3 aborted.
// Without a subcommand, it is the demo. It blocks until the subcommand is over, which listens to interrupts. A root is a
// folder, or a URL of one of the remotes.
func Run(args []string, stdout, stderr io.Writer, remotes ...Remote) int {
	a := &app{remotes: remotes}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return a.runDemo(args, stdout, stderr)
	}
	commands := map[string]func([]string, io.Writer, io.Writer) int{
		"build": a.runBuild, "generate": a.runGenerate, "get": runGet, "verify": a.runVerify, "status": runStatus, "simulate": runSimulate,
	}
	if command, ok := commands[args[0]]; ok {
		return command(args[1:], stdout, stderr)
	}
	fmt.Fprintf(stderr, "shards: unknown command %q; there are build, generate, get, simulate, status and verify\n", args[0])
	return exitUsage
}

// newFlags returns a flag set that prints usage and its flags to stderr, and exits nowhere.
func newFlags(name, usage string, stderr io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintf(stderr, "usage: shards %s\n", usage)
		fs.PrintDefaults()
	}
	return fs
}

// parseArgs parses flags that stand before, between and after the other arguments, which it returns. After "--" there are
// no flags. If ok is false the exit code says how to end; what is wrong was printed.
func parseArgs(fs *flag.FlagSet, args []string, positional int) (rest []string, code int, ok bool) {
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, exitOK, false
			}
			return nil, exitUsage, false
		}
		left := fs.Args()
		if taken := len(args) - len(left); taken > 0 && args[taken-1] == "--" {
			rest = append(rest, left...)
			break
		}
		if len(left) == 0 {
			break
		}
		rest, args = append(rest, left[0]), left[1:]
	}
	if len(rest) != positional {
		fmt.Fprintf(fs.Output(), "shards %s: %d arguments, want %d\n", fs.Name(), len(rest), positional)
		fs.Usage()
		return nil, exitUsage, false
	}
	return rest, exitOK, true
}

// need prints which of the named flags is empty; ok if none is.
func need(fs *flag.FlagSet, names ...string) (ok bool) {
	for _, name := range names {
		if fs.Lookup(name).Value.String() == "" {
			fmt.Fprintf(fs.Output(), "shards %s: -%s is missing\n", fs.Name(), name)
			fs.Usage()
			return false
		}
	}
	return true
}
