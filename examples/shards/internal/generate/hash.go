package generate

// mix returns a number that looks random and is a function of its arguments (splitmix64 over them).
func mix(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h = (h ^ p) + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// unit returns mix as a number in [0, 1).
func unit(parts ...uint64) float64 { return float64(mix(parts...)>>11) / (1 << 53) }
