//go:build gc

#include "textflag.h"

// func current() uint64
TEXT ·current(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET
