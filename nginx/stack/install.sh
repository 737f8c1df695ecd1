#!/bin/sh
# Installs what the demo, the tests, the benchmarks, or the proofs need and this machine
# lacks: Debian packages with apt-get, and pinned Go programs in .build/bin. It
# says what it installs and why, and does nothing if nothing is missing.
#
#   nginx/stack/install.sh demo|database|package|deploy|test|bench|chaos|vuln ...

set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/.build/bin

crane_version=v0.22.1
regctl_version=v0.11.7
metadata_mock_version=v1.13.0
golangci_version=v2.15.0
nfpm_version=v2.45.1
cyclonedx_version=v1.9.0
govulncheck_version=v1.9.0
conformance_version=v0.0.0-20260831232431-97274622c111

oldest_go=21 # go1.21 is the first that can fetch the version that go.mod requires

packages=
reasons=

say() { printf '%s\n' "install: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# have PROGRAM: is it installed, even outside of the user's PATH?
have() {
    command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]
}

# want PACKAGE WHY: add it to the list to install.
want() {
    packages="$packages $1"
    reasons="$reasons
  $1: $2"
}

# Each set lists what it needs. Whatever is installed costs only a check.
for_all() {
    have nginx || want nginx "runs the proxy"
    stream_module || want libnginx-mod-stream "lets nginx keep connections to the registry open"
    have docker-registry || want docker-registry "a real registry, in place of ECR"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || want ca-certificates "fetches Go modules over TLS"
}

for_demo() {
    if ! have docker || { ! have dockerd && ! engine_runs; }; then
        want docker.io "the customer's docker and its engine"
    fi
    have curl || want curl "for commands that you can try yourself"
}

for_test() {
    { have docker && have dockerd; } || want docker.io "the customer's docker and its engine"
    have skopeo || want skopeo "another client to test"
    have podman || want podman "another client to test"
    have curl || want curl "another client to test"
    have git || want git "finds the version to build"
    have gcc || want gcc "for the race detector"
    [ -e /usr/include/stdlib.h ] || want libc6-dev "for the race detector"
    have shellcheck || want shellcheck "checks the shell scripts"
    have ansible-lint || want ansible-lint "for make lint"
    have yamllint || want yamllint "for make lint"
    have ansible-playbook || want ansible "tests the playbook for AWS"
    /usr/bin/python3 -c 'import boto3' 2>/dev/null || want python3-boto3 "tests the playbook for AWS"
    have promtool || want prometheus "tests the alerts"
    have fail2ban-regex || want fail2ban "tests the fail2ban example"
    /usr/bin/python3 -c 'import systemd.journal' 2>/dev/null || want python3-systemd "tests the fail2ban example"
    [ -x /lib/systemd/systemd-journal-remote ] || want systemd-journal-remote "tests the fail2ban example"
    have logrotate || want logrotate "tests the logrotate example"
    have debootstrap || want debootstrap "gets nginx from other Debian releases"
    databases
}

databases() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || want postgresql "a real database to look up customers in"
    have mariadbd || want mariadb-server "a real database to look up customers in"
}

for_package() {
    have git || want git "finds the version to package"
    have envsubst || want gettext-base "fills in the package descriptions"
}

for_deploy() {
    have debootstrap || want debootstrap "creates a Debian to deploy to"
    have systemd-nspawn || want systemd-container "boots it"
    have ip || want iproute2 "sets up its network"
    have ssh || want openssh-client "connects to it"
    have ansible-playbook || want ansible "runs the playbook"
    have lintian || want lintian "checks the packages"
    have haproxy || want haproxy "a load balancer for two machines"
    have promtool || want prometheus "tests an alert"
    { have docker && have dockerd; } || want docker.io "the customer's docker and its engine"
}

for_bench() {
    databases
    have wrk || want wrk "generates load"
    [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] ||
        want libnginx-mod-http-lua "runs the design that we compare with"
    [ -e /usr/share/lua/5.1/cjson ] || [ -e /usr/lib/x86_64-linux-gnu/lua/5.1/cjson.so ] || dpkg -s lua-cjson >/dev/null 2>&1 ||
        want lua-cjson "runs the design that we compare with"
}

for_database() { databases; }

for_vuln() { :; }

for_chaos() {
    { have docker && have dockerd; } || want docker.io "a customer's docker and its engine"
    have skopeo || want skopeo "a customer's client"
    set -- /usr/lib/*-linux-gnu*/faketime/libfaketime.so.1
    [ -e "$1" ] || want faketime "shifts nginx's clock"
}

stream_module() {
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] ||
        { have nginx && PATH="$PATH:/usr/sbin" nginx -V 2>&1 | grep -q -- '--with-stream '; }
}

# engine_runs: does a Docker Engine answer where the demo looks for one?
engine_runs() {
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    case $socket in
        unix://*) docker -H "$socket" version >/dev/null 2>&1 ;;
        *) false ;;
    esac
}

# find_go prints the path of a go that is new enough.
find_go() {
    for go in "$(command -v go || true)" /usr/local/go/bin/go "$root/.build/go/bin/go"; do
        [ -x "$go" ] || continue
        # From /, where no go.mod requires another version.
        minor=$(cd / && GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
        if [ "${minor:-0}" -ge "$oldest_go" ]; then
            printf '%s\n' "$go"
            return
        fi
    done
    return 1
}

# as_root runs a command as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this needs root, and sudo is not installed; run as root: $*"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >&2
}

# quiet_services keeps installed services from starting, because they would use
# ports 80 and 5000: invoke-rc.d asks policy-rc.d, and 101 means no
# (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
policy=/usr/sbin/policy-rc.d
made_policy=
quiet_services() {
    [ -e "$policy" ] && return
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 0755 "$policy"
}

clean_up() {
    [ -z "$made_policy" ] || as_root rm -f "$policy"
    made_policy=
}
trap clean_up EXIT
trap 'exit 130' INT TERM

install_packages() {
    [ -n "$packages" ] || return 0
    command -v apt-get >/dev/null || fail "apt-get not found; install these packages yourself:$reasons"
    say "installing with apt-get:$reasons"
    quiet_services
    apt update
    # shellcheck disable=SC2086 # a list of names
    apt install -y --no-install-recommends $packages
    # They must not start at the next boot either: the stack starts its own.
    for unit in nginx docker-registry haproxy prometheus fail2ban postgresql mariadb; do
        case " $packages " in
            *" $unit "* | *" $unit-server "*)
                say "$unit.service stays disabled; to enable it: systemctl enable --now $unit"
                as_root systemctl disable --quiet "$unit.service" 2>/dev/null || true
                ;;
        esac
    done
    clean_up
}

# install_go installs the newest Go from Debian's backports. That one fetches the
# version that go.mod requires from the Go module proxy.
install_go() {
    find_go >/dev/null && return
    command -v apt-get >/dev/null || fail "Go 1.$oldest_go or newer not found; install it: https://go.dev/doc/install"
    # shellcheck source=/dev/null
    . /etc/os-release
    [ "${ID:-}" = debian ] || fail "Go 1.$oldest_go or newer not found; install it: https://go.dev/doc/install"
    suite=${VERSION_CODENAME}-backports
    say "installing with apt-get: Go from $suite, to build the programs"
    if ! grep -rqs "$suite" /etc/apt/sources.list /etc/apt/sources.list.d; then
        say "adding /etc/apt/sources.list.d/$suite.list"
        printf 'deb http://deb.debian.org/debian %s main\n' "$suite" |
            as_root tee "/etc/apt/sources.list.d/$suite.list" >/dev/null
    fi
    apt update
    package=$(apt-cache search --names-only '^golang-1\.[0-9]+-go$' | cut -d' ' -f1 | sort -V | tail -n 1)
    [ -n "$package" ] || fail "found no golang-1.NN-go in $suite"
    apt install -y --no-install-recommends -t "$suite" "$package"
    mkdir -p "$root/.build"
    version=${package#golang-}
    ln -sfn "/usr/lib/go-${version%-go}" "$root/.build/go"
    find_go >/dev/null || fail "expected Go 1.$oldest_go or newer after installing $package, found none"
}

# tool PACKAGE VERSION WHY: install this version of a Go program in .build/bin.
tool() {
    name=${1##*/}
    stamp=$bin/.$name-$2
    [ -e "$stamp" ] && [ -x "$bin/$name" ] && return
    say "installing with go install: $name $2, $3"
    mkdir -p "$bin"
    GOBIN=$bin GOTOOLCHAIN=auto CGO_ENABLED=0 "$(find_go)" install "$1@$2"
    rm -f "$bin/.$name-"*
    : >"$stamp"
}

# other_nginx SUITE: install that Debian's nginx as .build/nginx/SUITE/nginx. It
# runs on this machine, with its own Debian's loader and libraries.
other_nginx() {
    dir=$root/.build/nginx/$1
    [ -x "$dir/nginx" ] && return
    say "installing with debootstrap: nginx of Debian $1, to test the includes; this takes a minute or two"
    as_root rm -rf "$dir"
    mkdir -p "$dir"
    as_root debootstrap --variant=minbase --include=nginx-core,libnginx-mod-stream "$1" "$dir/root" >"$dir/log" 2>&1 ||
        fail "debootstrap of $1 failed: $(tail -n 3 "$dir/log")"
    cat >"$dir/nginx" <<'END'
#!/bin/sh
root=$(cd "$(dirname "$0")/root" && pwd)
for libraries in "$root"/usr/lib/*-linux-gnu*; do
    for loader in "$libraries"/ld-linux-*.so.*; do
        OPENSSL_CONF=$root/etc/ssl/openssl.cnf exec "$loader" --library-path "$libraries" "$root/usr/sbin/nginx" "$@"
    done
done
END
    chmod 0755 "$dir/nginx"
}

[ $# -gt 0 ] || fail "usage: $0 demo|database|package|deploy|test|bench|chaos|vuln ..."
for_all
for set in "$@"; do
    case $set in
        demo | database | package | deploy | test | bench | chaos | vuln) "for_$set" ;;
        *) fail "unknown set \"$set\"; expected demo, database, package, deploy, test, bench, chaos or vuln" ;;
    esac
done
install_packages
install_go
for set in "$@"; do
    case $set in
        package)
            tool github.com/goreleaser/nfpm/v2/cmd/nfpm $nfpm_version "builds packages"
            tool github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod $cyclonedx_version "builds their SBOMs"
            ;;
        vuln) tool golang.org/x/vuln/cmd/govulncheck $govulncheck_version "looks for known vulnerabilities" ;;
        demo) tool github.com/google/go-containerregistry/cmd/crane $crane_version "for commands that you can try yourself" ;;
        chaos)
            tool github.com/google/go-containerregistry/cmd/crane $crane_version "a customer's client"
            tool github.com/regclient/regclient/cmd/regctl $regctl_version "a customer's client"
            ;;
        test)
            tool github.com/google/go-containerregistry/cmd/crane $crane_version "another client to test"
            tool github.com/regclient/regclient/cmd/regctl $regctl_version "another client to test"
            tool github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock $metadata_mock_version "AWS's mock of instance metadata"
            tool github.com/opencontainers/distribution-spec/conformance $conformance_version "the OCI's conformance program"
            tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint $golangci_version "for make lint"
            other_nginx bullseye # 1.18
            other_nginx trixie   # 1.26
            ;;
    esac
done
