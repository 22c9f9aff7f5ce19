package stage_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// eachExported calls fn with every exported function of the package, for which receiver is "", and every exported method of an
// exported type, in the order of the files: what tests that go through the whole surface go by.
func eachExported(t *testing.T, fn func(receiver string, decl *ast.FuncDecl)) {
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			if receiver := receiverOf(f); receiver == "" || ast.IsExported(receiver) {
				fn(receiver, f)
			}
		}
	}
}

// receiverOf returns the name of a method's type, "" of a function.
func receiverOf(f *ast.FuncDecl) (name string) {
	if f.Recv == nil {
		return ""
	}
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return true
	})
	return name
}
