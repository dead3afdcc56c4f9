#!/usr/bin/env bash
# Runs make targets (default: test run) on a copy of this checkout in a Debian 13 root,
# where the newest row of TFX fits. The root is made once, with debootstrap, and kept in
# a cache folder together with the environments and downloads of earlier runs.
#
# Whatever is mounted, by debootstrap too, is mounted in a mount namespace of its own,
# which the kernel takes down with the last process in it, however that ends; nothing
# outside ever sees those mounts. All that is deleted is deleted outside of it, and only
# where nothing is mounted.
#
# Settings (environment):
#   DEBIAN13_CACHE  folder of the root; default ${XDG_CACHE_HOME:-~/.cache}/pocketrec/debian13
#   MIRROR          Debian's mirror; default: this machine's, else debootstrap's own
#   PYTHON_PREFIX   folder of another Python, e.g. ~/.pyenv/versions/3.12.1, that is seen
#                   in there, read-only, and used instead of Debian's 3.13
#   POCKETREC_DATA  folder of real data sets for the tests, seen in there read-only
set -euo pipefail

for setting in PYTHON_PREFIX POCKETREC_DATA; do
    [[ -z ${!setting:-} ]] || export "$setting=$(realpath -m "${!setting}")"
done
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cache=${DEBIAN13_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/pocketrec/debian13}
cache=$(realpath -m "$cache")
root=$cache/root
inside=/srv/${checkout##*/}
data_inside=/mnt/data
certificates=/etc/ssl/certs/ca-certificates.crt
packages=ca-certificates,g++,git,make,python3,python3-dev,python3-venv
# What a Python built on another Debian or Ubuntu links with.
packages+=,libbz2-1.0,libffi8,liblzma5,libncursesw6,libreadline8t64,libsqlite3-0,libssl3t64

say() { echo "debian13: $*" >&2; }

refuse() {
    say "$*"
    exit 1
}

check() {
    [[ $(id -u) == 0 ]] ||
        refuse "debootstrap, mount and chroot need root, and you are $(id -un)." \
            "Run it as root: sudo make test-debian13"
    local command missing=
    for command in debootstrap:debootstrap unshare:util-linux setpriv:util-linux \
        flock:util-linux git:git tar:tar; do
        command -v "${command%:*}" >/dev/null || missing+=" ${command#*:}"
    done
    [[ -z $missing ]] || refuse "not all tools are here. Run: apt-get install$missing"
    unshare --mount --propagation private true 2>/dev/null ||
        refuse "this system refuses a mount namespace (unshare --mount). In a container," \
            "start that with the capability SYS_ADMIN"
    [[ $cache != *[$'\\\t\n']* && $cache/ != "$checkout/"* && $cache != / ]] ||
        refuse "DEBIAN13_CACHE=$cache is not allowed. Expected a folder outside the" \
            "checkout, of ordinary characters"
    local setting
    for setting in PYTHON_PREFIX POCKETREC_DATA; do
        [[ -z ${!setting:-} || -d ${!setting} ]] ||
            refuse "$setting=${!setting} is not a folder"
    done
    [[ ! ${PYTHON_PREFIX:-} =~ ^/(usr)?$ ]] ||
        refuse "PYTHON_PREFIX=$PYTHON_PREFIX would hide the root's own. Expected where a further" \
            "Python is installed, e.g. ~/.pyenv/versions/3.12.1"
    [[ -z ${PYTHON_PREFIX:-} || -n $(other_python) ]] ||
        refuse "PYTHON_PREFIX=$PYTHON_PREFIX has no bin/python3.11, 3.12 or 3.13. Expected" \
            "where such a Python is installed, e.g. ~/.pyenv/versions/3.12.1"
}

# Prints the path of $PYTHON_PREFIX's Python, nothing where it has none that fits.
other_python() {
    local path
    for path in "$PYTHON_PREFIX"/bin/python3.1[123]; do
        [[ ! -x $path ]] || echo "$path"
    done | tail -n 1
}

remove() {
    local path
    for path in "$@"; do
        # There a space is written \040.
        if path=${path// /\\040} awk '
            $5 == ENVIRON["path"] || index($5, ENVIRON["path"] "/") == 1 { found = 1 }
            END { exit !found }' /proc/self/mountinfo; then
            refuse "$path: something is mounted there; nothing is deleted. Unmount it first"
        fi
        rm -rf --one-file-system -- "$path"
    done
}

# Runs a command in namespaces of its own. The death of this process, even by SIGKILL, is
# that of everything in there.
in_namespace() {
    # Behind an & a shell ignores interrupts, and what it starts would inherit that.
    setpriv --pdeathsig KILL \
        unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
        env --default-signal=INT,QUIT "$@" 9>&- &
    trap 'kill -KILL $! 2>/dev/null; wait; exit 130' INT
    trap 'kill -KILL $! 2>/dev/null; wait; exit 143' TERM HUP
    wait $!
}

make_root() {
    if [[ $(cat "$cache/root.complete" 2>/dev/null) == "$packages" ]]; then
        return
    fi
    # Only what this script has made is made anew.
    [[ ! -e $root || -e $cache/root.ours ]] ||
        refuse "$root is there, and not of this script's making; it is left alone." \
            "Remove it, or choose another folder: DEBIAN13_CACHE=..."
    : >"$cache/root.ours"
    rm -f "$cache/root.complete"
    remove "$root"
    local mirror=${MIRROR:-$(apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' \
        2>/dev/null | awk -F'|' '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')}
    say "making a Debian 13 root in $root (once; a minute or two)"
    in_namespace debootstrap --variant=minbase --include="$packages" trixie "$root" \
        ${mirror:+"$mirror"} >"$cache/debootstrap.log" 2>&1 ||
        refuse "debootstrap failed: $(tail -n 1 "$cache/debootstrap.log") (all that it" \
            "said: $cache/debootstrap.log)"
    echo "$packages" >"$cache/root.complete"
}

# Environments and tools of earlier runs stay: the set-up brings them up to date.
copy_checkout() {
    mkdir -p "$root$inside"
    local entry
    while IFS= read -r -d '' entry; do
        remove "$entry"
    done < <(find "$root$inside" -mindepth 1 -maxdepth 1 \
        ! -name '.venv*' ! -name .tools -print0)
    git -C "$checkout" ls-files -z --cached --others --exclude-standard --deduplicate |
        while IFS= read -r -d '' entry; do
            [[ ! -e $checkout/$entry ]] || printf '%s\0' "$entry"
        done |
        tar --create --directory="$checkout" --null --files-from=- |
        tar --extract --directory="$root$inside"
}

prepare() {
    check
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock --nonblock 9 || {
        say "waiting for another run in $cache"
        flock 9
    }
    make_root
    remove "$root/tmp"
    mkdir --mode=1777 "$root/tmp"
    copy_checkout
    cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
    # Networks with a certificate authority of their own need the host's list.
    local trusted=${SSL_CERT_FILE:-$certificates}
    [[ ! -r $trusted ]] || cp --dereference "$trusted" "$root$certificates"
}

mount_read_only() {
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    mount -o remount,bind,ro "$root$2"
}

# In the namespace, as its first process.
run_inside() {
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    local name settings=()
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY \
        PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST \
        UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_INSECURE_HOST; do
        [[ -z ${!name:-} ]] || settings+=("$name=${!name}")
    done
    if [[ -n ${PYTHON_PREFIX:-} ]]; then
        mount_read_only "$PYTHON_PREFIX" "$PYTHON_PREFIX"
        name=$(other_python)
        settings+=("PYTHON=$name" "VENV=.venv-${name##*/}")
    fi
    if [[ -n ${POCKETREC_DATA:-} ]]; then
        mount_read_only "$POCKETREC_DATA" "$data_inside"
        settings+=("POCKETREC_DATA=$data_inside")
    fi
    exec chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 DEBIAN13_ROOT=1 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        SSL_CERT_FILE=$certificates PIP_CERT=$certificates REQUESTS_CA_BUNDLE=$certificates \
        "${settings[@]}" make --no-print-directory --directory="$inside" "$@"
}

if [[ ${1:-} == --inside ]]; then
    shift
    run_inside "$@"
fi
prepare
[[ $# -gt 0 ]] || set -- test run
in_namespace "$checkout/scripts/debian13.sh" --inside "$@"
