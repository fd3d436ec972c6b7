module github.com/imagegate/imagegate/e2e/testdata/pause

go 1.26.0
