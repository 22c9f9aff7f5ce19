package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
)

// statusName is the file in the folder of shard files that a build keeps its status in.
const statusName = ".status.json"

// How often the status is written while a build runs.
const statusEvery = time.Second

// Status is what "shards status" tells of the last build of a folder, which may still be running.
type Status struct {
	PID        int             `json:"pid"`
	Started    time.Time       `json:"started"`
	Updated    time.Time       `json:"updated"` // every second while it runs
	Watching   bool            `json:"watching"`
	Ended      bool            `json:"ended"`
	Built      int             `json:"shards_built"`
	InProgress int             `json:"shards_in_progress"`
	InFlight   int             `json:"snapshots_in_flight"`
	Waiting    int             `json:"snapshots_waiting"`
	Troubles   []build.Trouble `json:"troubles"`
}

// keepStatus writes the status of a build every second, and once more when the function that it returns is called, which
// returns the first error of a write. A folder that takes no status hinders no build.
func keepStatus(fsys shardfile.FS, b *build.Build) (stop func() error) {
	status := Status{PID: os.Getpid(), Started: time.Now(), Watching: b.Options.Watch}
	write := func() error {
		p := b.Meter.Progress()
		status.Updated, status.Troubles = time.Now(), b.Troubles()
		status.Built, status.InProgress, status.InFlight, status.Waiting = p.Built, p.InProgress, p.InFlight, p.Waiting
		return writeStatus(fsys, status)
	}
	quit, done := make(chan struct{}), make(chan error)
	go func() { // ends with stop, which waits for it
		tick := time.NewTicker(statusEvery)
		defer tick.Stop()
		err := write()
		for {
			select {
			case <-tick.C:
				if again := write(); err == nil {
					err = again
				}
			case <-quit:
				status.Ended = true
				if last := write(); err == nil || last == nil {
					err = last
				}
				done <- err
				return
			}
		}
	}()
	return func() error { close(quit); return <-done }
}

// writeStatus replaces the file in one step, so that a reader sees a whole one. It need not survive a crash of the machine.
func writeStatus(fsys shardfile.FS, s Status) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	const temp = statusName + ".tmp"
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(temp, statusName)
	}
	if err != nil {
		return errors.Join(err, fsys.Remove(temp))
	}
	return nil
}

func readStatus(fsys shardfile.FS) (s Status, err error) {
	f, err := fsys.Open(statusName)
	if err != nil {
		return s, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return s, err
	}
	err = json.NewDecoder(io.NewSectionReader(f, 0, size)).Decode(&s)
	return s, err
}

// runStatus is "shards status".
func runStatus(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status", "status -out DIR [-json]", stderr)
	out := flags.String("out", "", "folder of the shard files")
	asJSON := flags.Bool("json", false, "print it as JSON")
	if _, code, ok := parseArgs(flags, args, 0); !ok {
		return code
	}
	if !need(flags, "out") {
		return exitUsage
	}
	fail := func(err error) int {
		fmt.Fprintf(stderr, "shards status: %v\n", err)
		return exitFailed
	}
	dir, err := shardfile.OpenDir(*out)
	if err != nil {
		return fail(err)
	}
	defer dir.Close()
	status, err := readStatus(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(fmt.Errorf("nothing was built in %s yet", *out))
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", statusName, err))
	}
	if err := status.print(*asJSON, time.Now(), stdout); err != nil {
		return fail(err)
	}
	for _, t := range status.Troubles {
		if t.State == build.Failed {
			return exitFailed
		}
	}
	return exitOK
}

func (s Status) print(asJSON bool, now time.Time, w io.Writer) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	}
	// The clock may have been set meanwhile; a build that lives writes its new time within a second.
	ago := func(t time.Time) string { return max(0, now.Sub(t).Round(time.Second)).String() + " ago" }
	how := "running"
	switch {
	case s.Ended:
		how = "ended " + ago(s.Updated)
	case now.Sub(s.Updated).Abs() > 10*statusEvery:
		how = "not heard of since " + ago(s.Updated) + ", perhaps killed"
	case s.Watching:
		how = "watching"
	}
	if _, err := fmt.Fprintf(w, "process %d, begun %s, %s: %d shards built, %d in progress; %d snapshots in flight, %d waiting\n",
		s.PID, ago(s.Started), how, s.Built, s.InProgress, s.InFlight, s.Waiting); err != nil {
		return err
	}
	for _, t := range s.Troubles {
		next := "no further try"
		switch {
		case t.State == build.NotReady:
			next = "next try at the next poll"
		case !t.Next.IsZero() && t.Next.After(now):
			next = "next try in " + t.Next.Sub(now).Round(time.Second).String()
		case !t.Next.IsZero():
			next = "next try is due"
		}
		if _, err := fmt.Fprintf(w, "%s (attempt %d, %s; %s): %s\n", t.State, t.Attempts, ago(t.Last), next, t.Cause); err != nil {
			return err
		}
	}
	return nil
}
