module github.com/imagegate/imagegate/e2e/testdata/app

go 1.26.0
