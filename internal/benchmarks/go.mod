module github.com/go-genstage/genstage/internal/benchmarks

go 1.26.0

require (
	github.com/go-genstage/genstage v0.0.0
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

replace github.com/go-genstage/genstage => ../..
