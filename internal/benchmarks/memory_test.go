package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIdleStagesAreWeighed(t *testing.T) {
	n := 2000
	all, err := idle(n)
	require.NoError(t, err)
	require.Less(t, all[0].total(), 20_000.0)
	require.Greater(t, all[0].total(), 1_000.0, "a goroutine alone has 2 KiB")
}
