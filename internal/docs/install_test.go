package docs_test

import (
	"archive/zip"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/stretchr/testify/require"
)

const module = "github.com/go-genstage/genstage"

// published are the folders of the modules that users may ask for, the root first.
var published = []string{".", "examples/supervised", "examples/shards/s3"}

// version is what the nested modules require of the root: the release that they belong to.
func version(t *testing.T) string {
	text, err := os.ReadFile(filepath.Join(root, published[1], "go.mod"))
	require.NoError(t, err)
	m := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(text)
	require.NotNil(t, m)
	return string(m[1])
}

// A replace directive makes a module that cannot be installed, and one that others require does not see it.
func TestNoPublishedModuleReplacesAnything(t *testing.T) {
	for _, dir := range published {
		text, err := os.ReadFile(filepath.Join(root, dir, "go.mod"))
		require.NoError(t, err)
		require.NotRegexp(t, `(?m)^\s*replace\b|=>`, string(text), dir)
		if dir != "." {
			require.Regexp(t, regexp.QuoteMeta(module)+" "+regexp.QuoteMeta(version(t))+`\b`, string(text), dir)
		}
	}
}

// publish writes a module into a folder that has the form of a module proxy.
func publish(t *testing.T, proxy, dir, version string) {
	name := module
	if dir != "." {
		name += "/" + dir
	}
	at := filepath.Join(proxy, filepath.FromSlash(name), "@v")
	require.NoError(t, os.MkdirAll(at, 0o755))
	mod, err := os.ReadFile(filepath.Join(root, dir, "go.mod"))
	require.NoError(t, err)
	info, err := json.Marshal(map[string]string{"Version": version, "Time": "2026-01-01T00:00:00Z"})
	require.NoError(t, err)
	for name, text := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": mod} {
		require.NoError(t, os.WriteFile(filepath.Join(at, name), text, 0o644))
	}
	out, err := os.Create(filepath.Join(at, version+".zip"))
	require.NoError(t, err)
	defer out.Close()
	archive := zip.NewWriter(out)
	base := filepath.Join(root, dir)
	require.NoError(t, filepath.WalkDir(base, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == base {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") || fileExists(filepath.Join(file, "go.mod")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "go.work") {
			return nil
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		inside, err := filepath.Rel(base, file)
		if err != nil {
			return err
		}
		w, err := archive.Create(name + "@" + version + "/" + filepath.ToSlash(inside))
		if err == nil {
			_, err = io.Copy(w, in)
		}
		return err
	}))
	require.NoError(t, archive.Close())
}

// newcomer is a machine that has Go and an empty module cache, and gets modules from proxy; those of others from where this machine has them.
type newcomer struct {
	t   *testing.T
	env []string
}

func (n newcomer) run(dir, name string, args ...string) string {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(append([]string{}, n.env...), "PWD="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(n.t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

// installed are the examples that are installed and linked in CI: one of each module, but for that over S3, whose server and client take minutes to
// compile. Of all others it is shown that whatever they are made of is there; that it compiles is shown where it lies. With -long all are installed.
var installed = []string{module + "/examples/quickstart", module + "/examples/supervised"}

// From an empty module cache: the README's `go get` in an empty project, its first pipeline there, and `go install` of the examples.
func TestInstall(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the library anew")
	}
	ambient := strings.Fields(goTool(t, root, "env", "GOPROXY", "GOMODCACHE"))
	require.Len(t, ambient, 2)
	proxy, bin, cache := t.TempDir(), t.TempDir(), t.TempDir()
	v := version(t)
	for _, dir := range published {
		publish(t, proxy, dir, v)
	}
	me := newcomer{t, append(os.Environ(),
		"GOPROXY=file://"+proxy+",file://"+filepath.Join(ambient[1], "cache", "download")+","+ambient[0],
		"GOMODCACHE="+cache, "GOBIN="+bin, "GOWORK=off", "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local")}

	project := t.TempDir()
	me.run(project, "go", "mod", "init", "example.com/first")
	me.run(project, "go", "get", module)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	code := codeBlock.FindStringSubmatch(string(readme))[2]
	program := "package main\n\nimport (\n\t\"context\"\n\t\"fmt\"\n\n\t\"" + module + "/stage\"\n)\n\n" + code
	require.NoError(t, os.WriteFile(filepath.Join(project, "main.go"), []byte(program), 0o644))
	_, want, found := strings.Cut(code, "// Output:\n")
	require.True(t, found)
	want = strings.TrimSuffix(strings.ReplaceAll(want, "\t// ", ""), "}\n")
	require.Equal(t, want, me.run(project, "go", "run", "."))
	list := me.run(project, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")
	for linked := range strings.FieldsSeq(list) {
		require.Contains(t, []string{"example.com/first", module, "golang.org/x/exp"}, linked, "a program links no more than the README says")
	}

	for _, dir := range published {
		examples := "./..."
		if dir == "." {
			examples = "./examples/..."
		}
		mains := strings.Fields(goTool(t, filepath.Join(root, dir), "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, examples))
		require.NotEmpty(t, mains)
		project := t.TempDir() // the examples of a module belong to one version: they can be listed together
		me.run(project, "go", "mod", "init", "example.com/examples")
		args := []string{"get"}
		for _, main := range mains {
			args = append(args, main+"@"+v)
		}
		me.run(project, "go", args...)
		me.run(project, "go", append([]string{"list", "-deps"}, mains...)...)
		for _, main := range mains {
			if testargs.Long() || slices.Contains(installed, main) {
				me.run(t.TempDir(), "go", "install", main+"@"+v)
				require.FileExists(t, filepath.Join(bin, path.Base(main)))
			}
		}
	}
	require.FileExists(t, filepath.Join(bin, "supervised"), "in a module of its own")
	require.Contains(t, me.run(t.TempDir(), filepath.Join(bin, "quickstart")), "C got [2 6")
}
