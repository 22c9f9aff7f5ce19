package docs_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pages returns the Markdown files of the project.
func pages(t *testing.T) []string {
	var list []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			list = append(list, path)
		}
		return err
	}))
	return list
}

// command is a call of go in a page: on a line of its own, indented or fenced, or between backquotes.
var command = regexp.MustCompile("(?m)(?:^(?:    )?|`)(go (?:-C \\S+ )?(?:run|test|get|doc|install|build|tool) [^`\n#]*[^`\n# ])")

// commands returns those of a page.
func commands(t *testing.T, page string) []string {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	var list []string
	for _, m := range command.FindAllStringSubmatch(string(text), -1) {
		list = append(list, m[1])
	}
	return list
}

// goTool runs go in a folder, and, if that has one, with its go.work.
func goTool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOWORK=")
	var said strings.Builder // "go: downloading", where the module cache is empty: it is no part of the answer
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, "go %s\n%s%s", strings.Join(args, " "), out, &said)
	return string(out)
}

// What the README tells a newcomer to type works. Each command is run here but three: `go test ./...` runs this test, and .ci/run runs it, as it stands
// there; .ci/run runs every example, too, in an empty folder; `go get` is for an empty project, and TestInstall does it.
func TestCommandsOfTheREADME(t *testing.T) {
	list := commands(t, filepath.Join(root, "README.md"))
	for _, want := range []string{"go get " + module, "go test ./...", "go run ./examples/shards", "go doc " + module + "/stage"} {
		require.Contains(t, list, want)
	}
	text, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	require.NoError(t, err)
	script := string(text)
	for _, c := range list {
		t.Run(c, func(t *testing.T) {
			args := strings.Fields(c)[1:]
			switch args[0] {
			case "test":
				require.Contains(t, script, "readme_test=$(grep -m1 '^go test' README.md)")
			case "get":
				require.Equal(t, "get "+module, strings.Join(args, " "))
			case "run":
				require.Len(t, args, 2, "without arguments, as .ci/run runs it")
				require.Regexp(t, `^\./examples/`, args[1])
				require.Contains(t, script, "\nrun_mains ./examples/...\n")
				require.FileExists(t, filepath.Join(root, args[1], "main.go"))
			default:
				require.NotEmpty(t, goTool(t, root, args...))
			}
		})
	}
}

// What other pages tell one to type is about folders, tests and flags that there are.
func TestCommandsOfOtherPages(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles programs")
	}
	help := map[string]string{} // of a program
	found := 0
	for _, page := range pages(t) {
		if strings.Contains(page, "CHANGELOG") {
			continue
		}
		for _, c := range commands(t, page) {
			args := strings.Fields(strings.ReplaceAll(c, `'`, ""))[1:]
			dir := root
			if strings.Contains(page, "examples") && fileExists(filepath.Join(filepath.Dir(page), "go.mod")) {
				dir = filepath.Dir(page) // a module of its own: "in this folder"
			}
			if args[0] == "-C" {
				dir, args = filepath.Join(dir, args[1]), args[2:]
			}
			found++
			switch args[0] {
			case "run":
				checkRun(t, page, c, dir, args[1:], help)
			case "test":
				checkTest(t, page, c, dir, args[1:])
			}
		}
	}
	require.Greater(t, found, 20)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var flagName = regexp.MustCompile(`^\[?-([a-z][a-z-]*)`)

func checkRun(t *testing.T, page, c, dir string, args []string, help map[string]string) {
	main := filepath.Join(dir, args[0])
	require.True(t, fileExists(filepath.Join(main, "main.go")), "%s: %s: there is no main.go in %s", page, c, main)
	if fileExists(filepath.Join(dir, "go.mod")) && dir != root {
		return // its own tests look at its flags: what it needs is not there without a network
	}
	sub := "" // a subcommand has flags of its own
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") && !strings.HasPrefix(args[1], "[") && args[0] == "./examples/shards" {
		sub = args[1]
	}
	for _, arg := range args[1:] {
		m := flagName.FindStringSubmatch(arg)
		if m == nil {
			continue
		}
		key := args[0] + " " + sub
		if help[key] == "" {
			call := []string{"run", args[0]}
			if sub != "" {
				call = append(call, sub)
			}
			cmd := exec.Command("go", append(call, "-h")...)
			cmd.Dir = dir
			out, _ := cmd.CombinedOutput() // some say 2 for -h
			help[key] = string(out)
		}
		require.Regexp(t, `(?m)^\s+-`+m[1]+`\b`, help[key], "%s: %s: no flag -%s", page, c, m[1])
	}
}

// checkTest looks for the folder and for a test that -run or -bench is about.
func checkTest(t *testing.T, page, c, dir string, args []string) {
	args = slices.DeleteFunc(args, func(a string) bool { return a == "xxx" || a == "^$" })
	var folders []string
	for _, a := range args {
		if strings.HasPrefix(a, "./") {
			folder := filepath.Join(dir, strings.TrimSuffix(a, "..."))
			require.True(t, fileExists(folder), "%s: %s: there is no %s", page, c, a)
			folders = append(folders, folder)
		}
	}
	for i, a := range args[:max(0, len(args)-1)] {
		if name := args[i+1]; a == "-run" && regexp.MustCompile(`^\w+$`).MatchString(name) {
			require.True(t, slices.ContainsFunc(folders, func(f string) bool { return hasTest(t, f, name) }), "%s: %s: there is no such test", page, c)
		}
	}
}

func hasTest(t *testing.T, folder, name string) bool {
	found := false
	require.NoError(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || found || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		found = regexp.MustCompile(`(?m)^func (Test|Example|Benchmark)\w*` + strings.TrimPrefix(name, "Test")).Match(text)
		return err
	}))
	return found
}
