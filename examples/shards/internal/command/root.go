package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// Remote is a kind of place, other than a folder, that a root can lie in. A main package hands it to [Run]; this package
// knows none.
type Remote interface {
	// Scheme is what its roots begin with, before "://".
	Scheme() string
	// AddFlags defines its flags on the flags of a subcommand that has a root.
	AddFlags(fs *flag.FlagSet)
	// Open returns the place that root, a URL of that scheme, names, as the flags say; at most so many snapshots will be
	// read or written at once. The caller closes it, after everything that it opened.
	Open(ctx context.Context, root string, snapshots int) (Root, error)
}

// Root is an open root: snapshots can be read from it and generated into it.
type Root interface {
	store.Store
	generate.Place
	io.Closer
}

// app is what a main package makes of this package.
type app struct {
	remotes []Remote // set by Run, read-only after
}

// root is the -root of a subcommand, with the flags of all remotes.
type root struct {
	app  *app
	path string
}

// rootFlag defines them.
func (a *app) rootFlag(fs *flag.FlagSet, usage string) *root {
	r := &root{app: a}
	for _, remote := range a.remotes {
		usage += fmt.Sprintf("; or %s://...", remote.Scheme())
		remote.AddFlags(fs)
	}
	fs.StringVar(&r.path, "root", "", usage)
	return r
}

// remote returns the remote that the root is of, nil for a folder. A URL of another scheme is an error.
func (r *root) remote() (Remote, error) {
	scheme, _, isURL := strings.Cut(r.path, "://")
	if !isURL {
		return nil, nil
	}
	for _, remote := range r.app.remotes {
		if remote.Scheme() == scheme {
			return remote, nil
		}
	}
	return nil, fmt.Errorf("-root %s: this program does not know %s://", r.path, scheme)
}

// openedStore is a store to read from.
type openedStore interface {
	store.Store
	io.Closer
}

// openStore opens the root for reading, with so many snapshots open at once. The caller closes it.
func (r *root) openStore(ctx context.Context, snapshots int) (openedStore, error) {
	remote, err := r.remote()
	if err != nil {
		return nil, err
	}
	if remote != nil {
		return remote.Open(ctx, r.path, snapshots)
	}
	return store.OpenDir(r.path)
}

// openedPlace is a place to generate into.
type openedPlace interface {
	generate.Place
	io.Closer
}

// remoteWriters is how many snapshots are written at once into a remote, which is slow to answer but not to take.
const remoteWriters = 16

// openPlace opens the root for generating, and says with how many writers. The caller closes it. A folder is made if create
// is set, and else must exist.
func (r *root) openPlace(ctx context.Context, create bool) (place openedPlace, writers int, err error) {
	remote, err := r.remote()
	switch {
	case err != nil:
	case remote != nil:
		writers = remoteWriters
		place, err = remote.Open(ctx, r.path, writers)
	case create:
		place, err = generate.CreateFolder(r.path)
	default:
		place, err = generate.OpenFolder(r.path)
	}
	return place, writers, err
}
