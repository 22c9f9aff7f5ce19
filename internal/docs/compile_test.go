package docs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/stretchr/testify/require"
)

// chained is a package that exports n producer-consumers, each from one type of event to the next; star is "*" for pointers, and with one there is but
// one type.
func chained(name, star string, n int, one bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s\n\nimport (\n\t\"context\"\n\n\t\"%s/stage\"\n)\n", name, module)
	for i := range n + 1 {
		fmt.Fprintf(&b, "\ntype E%d struct{ %s string }\n", i, strings.Repeat("_, ", i)+"S")
	}
	for i := range n {
		in, out := fmt.Sprintf("%sE%d", star, i), fmt.Sprintf("%sE%d", star, i+1)
		if one {
			in, out = star+"E0", star+"E0"
		}
		fmt.Fprintf(&b, `
func Step%d() *stage.ProducerConsumer[%s, %s] {
	return stage.NewProducerConsumer(func(_ context.Context, in []%s, _ *stage.Subscription) ([]%s, error) { return make([]%s, len(in)), nil })
}
`, i, in, out, in, out, out)
	}
	return b.String()
}

// service is a package around a queue, and user one that pushes into it.
func service(name, types, make string) string {
	return fmt.Sprintf("package %s\n\nimport (\n\t\"context\"\n\n\t\"%s/stage\"\n)\n\ntype E struct{ A, B int }\n\n%s\n\n//go:noinline\n%s\n", name, module, types, make)
}

func user(name, of string) string {
	return fmt.Sprintf("package %s\n\nimport (\n\t\"context\"\n\n\t\"example.com/cost/%s\"\n)\n\nfunc Push(ctx context.Context) error { return %s.New().Push(ctx, %s.E{}) }\n",
		name, of, of, of)
}

// What docs/guide.md says of compiling, in CPU time of the compiler, as a multiple of that of one producer-consumer. The packages that a package imports are
// compiled before.
func TestWhatCompilingCosts(t *testing.T) {
	if !testargs.Long() {
		t.Skip("-args -long")
	}
	field := "type Service struct{ in *stage.Queue[E] }\n\nfunc (s *Service) Push(ctx context.Context, e E) error { return s.in.Push(ctx, e) }"
	contract := "type Service interface{ Push(context.Context, ...E) error }"
	dir := t.TempDir()
	top, err := filepath.Abs(root)
	require.NoError(t, err)
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("go.mod", fmt.Sprintf("module example.com/cost\n\ngo 1.26.0\n\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, top))
	packages := map[string]string{
		"one":        chained("one", "", 1, false),
		"seven":      chained("seven", "", 7, false),
		"pointers":   chained("pointers", "*", 7, false),
		"sametype":   chained("sametype", "", 7, true),
		"field":      service("field", field, "func New() *Service { return &Service{stage.NewQueue[E](1)} }"),
		"offield":    user("offield", "field"),
		"contract":   service("contract", contract, "func New() Service { return stage.NewQueue[E](1) }"),
		"ofcontract": user("ofcontract", "contract"),
	}
	build := func(pkg string) time.Duration {
		cmd := exec.Command("go", "build", "./"+pkg)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Run(), out.String())
		return cmd.ProcessState.UserTime() // with that of the compilers, which it has waited for
	}
	order := []string{"one", "seven", "pointers", "sametype", "field", "contract", "offield", "ofcontract"} // each behind what it imports
	least := map[string]time.Duration{}
	for round := range 3 {
		for name, text := range packages {
			write(name+"/p.go", fmt.Sprintf("%s\n// %d %d\n", text, time.Now().UnixNano(), round)) // not in the cache
		}
		for _, name := range order {
			if d := build(name); round > 0 && (least[name] == 0 || d < least[name]) {
				least[name] = d // the first round has compiled the library
			}
		}
	}
	for _, name := range order {
		t.Logf("%-10s %.2f", name, float64(least[name])/float64(least["one"]))
	}
	require.Greater(t, least["seven"], 4*least["one"], "each pair of types is compiled by itself")
	require.Less(t, least["pointers"], least["seven"]*3/4, "those of pointers share most")
	require.Less(t, least["sametype"], 2*least["one"], "those of one pair of types share all")
	require.Greater(t, least["offield"], least["field"]/2, "whoever imports a package with a typed stage in an exported type compiles that again")
	require.Less(t, least["ofcontract"], least["offield"]/4, "and not what is behind an interface")
}
