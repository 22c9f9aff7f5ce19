package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// version is a line of "shards get".
type version struct {
	Snapshot string          `json:"snapshot"`
	Value    json.RawMessage `json:"value"`
}

// runGet is "shards get".
func runGet(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("get", "get -out DIR SHARD KEY [-at SNAPSHOT]", stderr)
	out := flags.String("out", "", "folder of the shard files")
	at := flags.String("at", "", "only the version in this snapshot")
	rest, code, ok := parseArgs(flags, args, 2)
	if !ok {
		return code
	}
	if !need(flags, "out") {
		return exitUsage
	}
	found, err := get(*out, rest[0], rest[1], *at, stdout)
	if err == nil && !found {
		err = fmt.Errorf("shard %q has no key %q", rest[0], rest[1])
		if *at != "" {
			err = fmt.Errorf("%w in snapshot %q", err, *at)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "shards get: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// get prints the versions of a key, as they are read, and returns whether there is one.
func get(out, shard, key, at string, w io.Writer) (found bool, err error) {
	if err := store.CheckName(shard); err != nil {
		return false, fmt.Errorf("shard %q: %w", shard, err)
	}
	dir, err := shardfile.OpenDir(out)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	r, err := shardfile.Open(dir, shard)
	if errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("shard %q has no file in %s", shard, out)
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	buf := bufio.NewWriter(w)
	lines := json.NewEncoder(buf)
	lines.SetEscapeHTML(false) // the value as it was stored
	for v, err := range r.Get(key, at) {
		if err == nil {
			err = lines.Encode(version{Snapshot: v.Snapshot, Value: v.Value})
		}
		if err != nil {
			return found, errors.Join(err, buf.Flush())
		}
		found = true
	}
	return found, buf.Flush()
}
