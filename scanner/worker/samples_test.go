package worker_test

import (
	"fmt"
	"strings"
)

// npmFiles are packages as npm installs them, several versions of some.
func npmFiles() map[string][]byte {
	files := map[string][]byte{}
	for path, version := range map[string]string{
		"app/node_modules/minimist":                             "1.2.5",
		"app/node_modules/mkdirp/node_modules/minimist":         "0.0.8",
		"app/node_modules/optimist/node_modules/minimist":       "0.2.4",
		"app/node_modules/lodash":                               "4.17.11",
		"app/node_modules/grunt/node_modules/lodash":            "4.17.20",
		"app/node_modules/lodash-es":                            "4.17.21",
		"usr/lib/node_modules/npm/node_modules/lodash":          "4.17.19",
		"usr/lib/node_modules/npm/node_modules/semver":          "7.5.4",
		"usr/lib/node_modules/npm/node_modules/@npmcli/package": "1.0.0",
	} {
		_, name, _ := cutLast(path, "node_modules/")
		files[path+"/package.json"] = fmt.Appendf(nil, `{"name":%q,"version":%q,"license":"MIT"}`, name, version)
	}
	return files
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// debianFiles are a Debian's release and list of packages: a few that the sample
// database knows, and others.
func debianFiles(others int) map[string][]byte {
	var status strings.Builder
	add := func(name, source, version string) {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nSource: %s\nVersion: %s\nMaintainer: Debian\nDescription: %s\n\n",
			name, source, version, name)
	}
	add("libc6", "glibc", "2.36-9+deb12u1")
	add("libc-bin", "glibc", "2.36-9+deb12u1")
	add("openssh-server", "openssh", "1:9.2p1-2")
	add("openssh-client", "openssh", "1:9.2p1-2+deb12u3")
	add("libnghttp2-14", "nghttp2", "1.52.0-1")
	add("linux-libc-dev", "linux", "6.1.52-1")
	for n := range others {
		add(fmt.Sprintf("libsample%d", n), fmt.Sprintf("sample%d", n/3), "1.0-"+fmt.Sprint(n%7))
	}
	files := map[string][]byte{
		"etc/os-release":      []byte("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nNAME=\"Debian GNU/Linux\"\n"),
		"var/lib/dpkg/status": []byte(status.String()),
	}
	for n := range others {
		files[fmt.Sprintf("var/lib/dpkg/info/libsample%d:amd64.list", n)] = fmt.Appendf(nil, "/.\n/usr\n/usr/share/doc/libsample%d/copyright\n", n)
		files[fmt.Sprintf("usr/share/doc/libsample%d/copyright", n)] = []byte("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: MIT\n")
	}
	return files
}
