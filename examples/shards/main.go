// Command shards keeps the history of every record over a folder of snapshots: one file per shard, built incrementally, with
// bounded memory and two limits at once. It is the program that the library is measured against.
//
//	shards [FLAGS]                               the demo: generates a small store, builds it, prints the report
//	shards build    -root DIR -out DIR           builds what is stale
//	shards generate -root DIR                    makes a store to try it on
//	shards get      -out DIR SHARD KEY           prints the versions of one key
//	shards status   -out DIR                     what the last build is doing, or did, and what failed
//	shards simulate                              runs the designs in fake time
//	shards verify   -root DIR -out DIR           builds naively and compares
//
// Each takes -h. Exit codes: 0 done, 1 failed or nothing found, 2 usage or lock, 3 aborted.
package main

import (
	"os"

	"github.com/go-genstage/genstage/examples/shards/internal/command"
)

func main() { os.Exit(command.Run(os.Args[1:], os.Stdout, os.Stderr)) }
