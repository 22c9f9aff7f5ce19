package flow_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// flow is built on what every user of stage has: of the module it imports stage, and plain values that import nothing of it.
func TestImports(t *testing.T) {
	const module = "github.com/go-genstage/genstage/"
	allowed := map[string][]string{
		".":                  {module + "stage", module + "internal/window", module + "internal/batch", "golang.org/x/exp/constraints"},
		"../internal/window": nil,
		"../internal/batch":  nil,
	}
	for dir, others := range allowed {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, spec := range parsed.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				require.NoError(t, err)
				if strings.Contains(path, ".") {
					require.Contains(t, others, path, file)
				}
			}
		}
	}
}
