package hoptest_test

import _ "github.com/go-genstage/genstage/internal/testargs" // the flags that all tests take
