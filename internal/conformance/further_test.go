package conformance

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestFurther plays scenarios of our own, for what the format has and no recorded scenario shows. GenStage's
// traces of them do not exist: what we do is held against testdata/further/traces.
func TestFurther(t *testing.T) {
	files, err := filepath.Glob("testdata/further/*.json")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			sc, err := load[scenario]("testdata/further", name)
			require.NoError(t, err)
			var have *trace
			synctest.Test(t, func(*testing.T) { have, _ = play(sc) })
			require.Nil(t, holdAgainst(t, "testdata/further/traces", have, false), "here \"GenStage\" is ours")
		})
	}
}

// holdAgainst compares what was played with what a golden of ours says; -update rewrites that. Without a golden
// there is nothing to say, if that is allowed.
func holdAgainst(t *testing.T, dir string, have *trace, optional bool) *difference {
	if *update {
		data, err := json.MarshalIndent(have, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, have.Name+".json"), append(data, '\n'), 0o644))
	}
	ours, err := load[trace](dir, have.Name)
	if optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	return compare(ours, have)
}
