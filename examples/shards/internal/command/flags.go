package command

import (
	"flag"
	"fmt"
	"time"
)

// isSet reports whether a flag was given.
func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// positive are flags of which zero would be taken for the default, and less for nonsense.
var positive = []string{
	"builders", "snapshots", "worker-max", "queue", "poll", "min-rate", "small", "shards",
	"max-key", "max-line", "max-ratio", "max-decoded",
}

// checkPositive finds one of these that was given and is not.
func checkPositive(fs *flag.FlagSet) error {
	for _, name := range positive {
		if !isSet(fs, name) {
			continue
		}
		ok := true
		switch v := fs.Lookup(name).Value.(flag.Getter).Get().(type) {
		case int:
			ok = v > 0
		case int64:
			ok = v > 0
		case time.Duration:
			ok = v > 0
		}
		if !ok {
			return fmt.Errorf("-%s %s: want more than 0", name, fs.Lookup(name).Value)
		}
	}
	return nil
}
