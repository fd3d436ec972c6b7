package imagescan

import (
	"context"
	"fmt"
	"os"

	"github.com/anchore/grype/grype"
	"github.com/anchore/grype/grype/distro"
	"github.com/anchore/grype/grype/match"
	"github.com/anchore/grype/grype/matcher"
	"github.com/anchore/grype/grype/matcher/dpkg"
	"github.com/anchore/grype/grype/matcher/rpm"
	"github.com/anchore/grype/grype/matcher/stock"
	"github.com/anchore/grype/grype/pkg"
	"github.com/anchore/grype/grype/version"
	"github.com/anchore/grype/grype/vulnerability"
	syftpkg "github.com/anchore/syft/syft/pkg"

	"github.com/imagegate/imagegate/scanner/failure"
	"github.com/imagegate/imagegate/scanner/sandbox"
)

// findMatches looks the packages of a list up in the database, and what is found in
// its risk data.
func findMatches(ctx context.Context, db vulnerability.Provider, systems distributions, risk *riskData, path string) (*sandbox.Findings, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the package list: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	packages, where, list, err := pkg.ProvideFromReader(f, pkg.ProviderConfig{
		SynthesisConfig: pkg.SynthesisConfig{Distro: pkg.DistroConfig{FixChannels: distro.DefaultFixChannels()}},
	})
	if err != nil {
		return nil, fmt.Errorf("read the package list: %w: %w", sandbox.ErrListUnreadable, err)
	}
	missing, err := unmatched(packages, list.Artifacts.LinuxDistribution, systems)
	if err != nil {
		return nil, err
	}
	provider := &witness{Provider: db}
	m := grype.VulnerabilityMatcher{
		VulnerabilityProvider:      provider,
		Matchers:                   matchers(),
		IgnoreRules:                kernelHeaders(),
		IncludeMatcherSuppressions: true,
	}
	matches, ignored, err := m.FindMatchesContext(ctx, packages, where)
	if err != nil {
		return nil, fmt.Errorf("match packages with the vulnerability database: %w", err)
	}
	// Grype logs these and gives what it has.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("match packages with the vulnerability database: %w", err)
	}
	if err := provider.err(); err != nil {
		return nil, failure.Wrap(failure.Database, err, "the vulnerability database could not be read")
	}
	out := &sandbox.Findings{Packages: len(packages), Unmatched: missing, Suppressed: suppressed(ignored, risk)}
	if where.Distro != nil {
		out.Distro = where.Distro.String()
		if out.EndOfLife, err = endOfLife(where.Distro, db); err != nil {
			return nil, failure.Wrap(failure.Database, err, "the vulnerability database could not be asked how long the image's distribution is maintained")
		}
	}
	out.Vulnerabilities = vulnerabilities(matches, risk)
	out.RiskData = risk.told()
	return out, nil
}

// matchers are configured as Grype's command line has them by default: what it
// finds on an image is what this worker finds.
func matchers() []match.Matcher {
	return matcher.NewDefaultMatchers(matcher.Config{
		Stock: stock.MatcherConfig{UseCPEs: true},
		Dpkg:  dpkg.MatcherConfig{MissingEpochStrategy: version.MissingEpochStrategyZero},
		Rpm:   rpm.MatcherConfig{MissingEpochStrategy: version.MissingEpochStrategyAuto},
	})
}

// kernelHeaders ignores what is true of a kernel but not of its header files,
// another default of Grype's command line.
func kernelHeaders() []match.IgnoreRule {
	rule := func(name, upstream string, t syftpkg.Type) match.IgnoreRule {
		return match.IgnoreRule{
			Reason:    "the vulnerability is in the kernel, the package holds only its headers",
			Package:   match.IgnoreRulePackage{Name: name, UpstreamName: upstream, Type: string(t)},
			MatchType: match.ExactIndirectMatch,
		}
	}
	return []match.IgnoreRule{
		rule("kernel-headers", "kernel", syftpkg.RpmPkg),
		rule("linux(-.*)?-headers-.*", "linux.*", syftpkg.DebPkg),
		rule("linux-libc-dev", "linux", syftpkg.DebPkg),
		rule("linux-kbuild-.*", "linux.*", syftpkg.DebPkg),
	}
}
