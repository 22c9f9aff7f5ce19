module github.com/go-genstage/genstage/examples/supervised

go 1.26.0

require (
	github.com/go-genstage/genstage v0.1.0
	github.com/thejerf/suture/v4 v4.0.6
	golang.org/x/sync v0.24.0
)
