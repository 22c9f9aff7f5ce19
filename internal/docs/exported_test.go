package docs_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// packages are those that users import.
var packages = []string{"stage", "stage/stagetest", "flow"}

// parsed is a package with its tests.
type parsed struct {
	doc   *doc.Package
	tests []*ast.File
}

func parse(t *testing.T, dir string) parsed {
	names, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	files := token.NewFileSet()
	var code []*ast.File
	var p parsed
	for _, name := range names {
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		require.NoError(t, err)
		if strings.HasSuffix(name, "_test.go") {
			p.tests = append(p.tests, file)
		} else {
			code = append(code, file)
		}
	}
	p.doc, err = doc.NewFromFiles(files, code, "github.com/go-genstage/genstage/"+dir)
	require.NoError(t, err)
	return p
}

// undocumented lists exported names without a comment: of values in a group, one of the group's will do.
func undocumented(p *doc.Package) []string {
	var list []string
	values := func(values []*doc.Value) {
		for _, v := range values {
			for _, spec := range v.Decl.Specs {
				spec := spec.(*ast.ValueSpec)
				for _, name := range spec.Names {
					if name.IsExported() && v.Doc == "" && spec.Doc.Text() == "" && spec.Comment.Text() == "" {
						list = append(list, name.Name)
					}
				}
			}
		}
	}
	funcs := func(prefix string, funcs []*doc.Func) {
		for _, f := range funcs {
			if f.Doc == "" {
				list = append(list, prefix+f.Name)
			}
		}
	}
	values(p.Consts)
	values(p.Vars)
	funcs("", p.Funcs)
	for _, typ := range p.Types {
		if typ.Doc == "" {
			list = append(list, typ.Name)
		}
		values(typ.Consts)
		values(typ.Vars)
		funcs("", typ.Funcs)
		funcs(typ.Name+".", typ.Methods)
	}
	return list
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, dir := range packages {
		p := parse(t, dir)
		require.NotEmpty(t, p.doc.Doc, dir)
		require.Empty(t, undocumented(p.doc), "%s: exported, and without a comment", dir)
	}
	silent, err := parser.ParseFile(token.NewFileSet(), "p.go", "package p\n\nfunc Silent() {}\n\ntype T struct{}\n\nconst C = 1\n\nfunc (T) M() {}\n", parser.ParseComments)
	require.NoError(t, err)
	files := token.NewFileSet()
	files.AddFile("p.go", -1, 1<<10)
	d, err := doc.NewFromFiles(files, []*ast.File{silent}, "p")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"Silent", "T", "T.M", "C"}, undocumented(d), "it finds what is wrong")
}

// shown collects the names that Examples with output use.
func shown(tests []*ast.File) map[string]bool {
	names := map[string]bool{}
	for _, e := range doc.Examples(tests...) {
		if e.Output == "" && !e.EmptyOutput {
			continue
		}
		for _, node := range []ast.Node{e.Code, playable(e)} {
			if node == nil {
				continue
			}
			ast.Inspect(node, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					names[id.Name] = true
				}
				return true
			})
		}
	}
	return names
}

// playable is the example with what it uses of its file; nil if there is nothing.
func playable(e *doc.Example) ast.Node {
	if e.Play == nil {
		return nil
	}
	return e.Play
}

// What one calls is shown in an Example with output: constructors, options, methods. (Names of types, results and errors come with them.)
// Not stagetest: what it has takes a *testing.T, and there is none in an Example. Its own tests are written with it.
func TestConceptsHaveExamples(t *testing.T) {
	var missing []string
	for _, dir := range []string{"stage", "flow"} {
		p := parse(t, dir)
		names := shown(p.tests)
		need := func(name, full string) {
			if !names[name] {
				missing = append(missing, filepath.Base(dir)+"."+full)
			}
		}
		for _, f := range p.doc.Funcs {
			need(f.Name, f.Name)
		}
		for _, typ := range p.doc.Types {
			for _, f := range typ.Funcs {
				need(f.Name, f.Name)
			}
			for _, m := range typ.Methods {
				if m.Name != "Error" && m.Name != "Unwrap" && m.Name != "String" {
					need(m.Name, typ.Name+"."+m.Name)
				}
			}
		}
	}
	require.Empty(t, missing, "no Example with output uses these")
}
