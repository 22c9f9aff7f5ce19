//go:build !linux

package build

func peakRSS() int64 { return 0 }
