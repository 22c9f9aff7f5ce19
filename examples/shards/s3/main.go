// Command s3 is the program shards (examples/shards) over a bucket: the root of its subcommands may be s3://BUCKET/PREFIX.
//
//	s3 -root s3://BUCKET/PREFIX                            generates a small store there, builds it, prints the report
//	s3 build    -root s3://BUCKET/PREFIX -out DIR          builds what is stale
//	s3 generate -root s3://BUCKET/PREFIX                   makes a store to try it on
//	s3 verify   -root s3://BUCKET/PREFIX -out DIR          builds naively and compares
//	s3 get      -out DIR SHARD KEY                         prints the versions of one key
//	s3 status   -out DIR                                   says what the last build did
//
// Where there is no bucket, examples/shards/s3/demo starts a server of its own. Endpoint, region and keys are those of the
// environment, by the names that the AWS tools have for them; -endpoint and -region say otherwise. Without arguments it
// prints this.
package main

import (
	"fmt"
	"os"

	"github.com/go-genstage/genstage/examples/shards/internal/command"
	"github.com/go-genstage/genstage/examples/shards/s3/internal/bucket"
)

const usage = `usage: s3 [build | generate | verify] -root s3://BUCKET/PREFIX [-endpoint URL] [FLAGS]
       s3 get -out DIR SHARD KEY
       s3 status -out DIR

Without a subcommand it generates a small store and builds it. Each takes -h. Keys are taken from AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY. To try it without a bucket: go run ./demo
`

func main() {
	if len(os.Args) == 1 {
		fmt.Print(usage)
		return
	}
	os.Exit(command.Run(os.Args[1:], os.Stdout, os.Stderr, &bucket.Remote{}))
}
