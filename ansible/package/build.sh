#!/usr/bin/env bash
# Builds the packages of both programs, for amd64 and arm64, with their SBOMs
# and checksums. `make package` installs what it needs and calls it.
#
#   VERSION=v1.2.0 LDFLAGS=... ansible/package/build.sh OUTDIR
#
# The same commit gives the same files, byte for byte: every date in them is
# the date of the commit.
set -euo pipefail

out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."
: "${VERSION:?must be set to the version, as git describe prints it}"
: "${LDFLAGS:?must be set to the linker flags that set the version}"

SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH CGO_ENABLED=0

# package_version turns the output of git describe into a Debian version:
# v1.2.0 is 1.2.0, v1.2.0-rc1 is 1.2.0~rc1 (older), v1.2.0-4-gabc is
# 1.2.0+4.gabc (newer). Without a tag it is older than every release.
package_version() {
    case $VERSION in
        v[0-9]* | [0-9]*.[0-9]*) printf '%s\n' "${VERSION#v}" | sed -E 's/-(alpha|beta|rc)/~\1/; s/-/+/; s/-/./g' ;;
        *) printf '0~%s.%s\n' "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)" "$(printf '%s' "$VERSION" | tr - .)" ;;
    esac
}

# documents PROGRAM: manual, completions and changelog. A program built for this
# machine writes them for all architectures.
documents() {
    local stage=$work/doc/$1
    mkdir -p "$stage/man"
    go build -trimpath -ldflags "$LDFLAGS" -o "$stage/$1" "./$1"
    "$stage/$1" man "$stage/man"
    # cobra's own commands need no pages.
    rm -f "$stage"/man/*-completion*.8
    gzip -9n "$stage"/man/*.8
    for shell in bash zsh fish; do
        "$stage/$1" completion "$shell" >"$stage/completion.$shell"
    done
    {
        printf '%s (%s) stable; urgency=medium\n\n' "$1" "$PACKAGE_VERSION"
        printf '  * See https://github.com/pullgate/pullgate/commits/%s\n\n' "${COMMIT:-main}"
        printf ' -- Pullgate <packages@pullgate.example>  %s\n' "$(LC_ALL=C date -R -u -d "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n >"$stage/changelog.gz"
    rm "$stage/$1"
}

# package PROGRAM ARCH
package() {
    local name=${1}_${PACKAGE_VERSION}_$2
    export STAGE=$work/$1-$2 ARCH=$2
    cp -r "$work/doc/$1" "$STAGE"
    cp -r nginx/registry "$STAGE/nginx"
    cp -r nginx/examples "$STAGE/examples"
    chmod -R u=rwX,go=rX "$STAGE" # regardless of the umask of the clone
    GOARCH=$2 go build -trimpath -ldflags "$LDFLAGS" -o "$STAGE/$1" "./$1"
    envsubst "\$STAGE \$ARCH \$PACKAGE_VERSION" <"ansible/package/$1/nfpm.yaml" >"$STAGE/nfpm.yaml"
    nfpm package --config "$STAGE/nfpm.yaml" --packager deb --target "$out/$name.deb" >/dev/null
    cyclonedx-gomod bin -json -noserial -version "$PACKAGE_VERSION" "$STAGE/$1" 2>/dev/null |
        sed "s/^\( *\"timestamp\": \)\"[^\"]*\"/\1\"$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)\"/" >"$out/$name.cdx.json"
    printf '%s\n' "$out/$name.deb"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PACKAGE_VERSION=$(package_version)
export PACKAGE_VERSION
made=()
for program in authsvc tokenrefresher; do
    documents "$program"
    for arch in amd64 arm64; do
        package "$program" "$arch"
        made+=("${program}_${PACKAGE_VERSION}_$arch.deb" "${program}_${PACKAGE_VERSION}_$arch.cdx.json")
    done
done
cd "$out"
sha256sum "${made[@]}" >"pullgate_$PACKAGE_VERSION.sha256"
printf '%s\n' "$out/pullgate_$PACKAGE_VERSION.sha256"
