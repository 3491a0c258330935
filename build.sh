#!/usr/bin/env bash
# The one entry point: build, start, test, bench, clean. Says what it does, installs what is missing, rebuilds only what changed.
#   ./build.sh build            the WASM variants, the TypeScript declarations and the files of the site that are made
#   ./build.sh native           the native library and C tests under ASan + UBSan
#   ./build.sh start [port]     build, then serve the demo site on localhost
#   ./build.sh offline          build, then dist/microtome-offline.html: every page, the engine and the model in one file that opens from a disk
#   ./build.sh test [filter]    build everything, then all tests (or those whose file name contains the filter)
#   ./build.sh test labs        the claims of the labs, in full: three seeds each, about half an hour
#   ./build.sh bench [filter]   the benchmarks of tests/bench
#   ./build.sh fuzz [target] [seconds]   fuzz targets of tests/fuzz (all, 60 seconds each); crashes are kept in build/fuzz; all: a table goes to docs/robustness.md
#   ./build.sh growth [filter]  how work grows with hostile inputs; without a filter the table goes to docs/robustness.md
#   ./build.sh format           clang-format over the C sources
#   ./build.sh docs             the API reference, docs/api, from the comments in web/
#   ./build.sh clean
#
# The tested compiler is clang 22 + wasm-ld 22 on the headers and libraries that Debian's emscripten package ships prebuilt.
# To use another toolchain set CLANG, WASM_LD and WASM_SYSROOT.
set -euo pipefail
cd "$(dirname "$0")"
ROOT=$PWD
CLANG=${CLANG:-clang-22}
WASM_LD=${WASM_LD:-wasm-ld-22}
CLANG_FORMAT=${CLANG_FORMAT:-clang-format-22}
JOBS=${JOBS:-$(nproc)}

say() { printf '\033[1m%s\033[0m\n' "$*"; }
die() { printf '%s\n' "build.sh: $*" >&2; exit 1; }

# ---- what must be there ---------------------------------------------------------------------------------------------

apt_missing() { # apt_missing COMMAND-OR-FILE PACKAGE...: remembers the packages when the command or file is absent
    local probe=$1; shift
    case $probe in
    /*) compgen -G "$probe" >/dev/null && return 0 ;;
    *) command -v "$probe" >/dev/null && return 0 ;;
    esac
    MISSING="${MISSING:-} $*"
}

apt_install() {
    [ -n "${MISSING:-}" ] || return 0
    say "installing Debian packages:$MISSING"
    command -v apt-get >/dev/null || die "please install:$MISSING"
    local sudo=; [ "$(id -u)" = 0 ] || sudo="sudo -n"
    export DEBIAN_FRONTEND=noninteractive
    $sudo apt-get update -qq </dev/null
    # shellcheck disable=SC2086
    $sudo apt-get install -y -qq --no-install-recommends $MISSING </dev/null >/dev/null || die "could not install:$MISSING"
    MISSING=
}

need_toolchain() {
    MISSING=
    apt_missing "$CLANG" clang-22
    apt_missing "$WASM_LD" lld-22
    [ -n "${WASM_SYSROOT:-}" ] || apt_missing '/usr/share/emscripten/cache/sysroot/include/stdio.h' emscripten
    apt_install
    SYSROOT=${WASM_SYSROOT:-/usr/share/emscripten/cache/sysroot}
    SYSLIB=$SYSROOT/lib/wasm32-emscripten
    [ -f "$SYSLIB/libc.a" ] || die "no libc.a in $SYSLIB: set WASM_SYSROOT to an Emscripten sysroot"
}

need_native() {
    MISSING=
    apt_missing "$CLANG" clang-22
    apt_missing "$CLANG_FORMAT" clang-format-22
    apt_missing '/usr/lib/llvm-22/lib/clang/22/lib/linux/libclang_rt.asan-*.a' libclang-rt-22-dev
    apt_missing /usr/include/simde/wasm/simd128.h libsimde-dev
    apt_install
}

need_browsers() {
    MISSING=
    apt_missing chromium chromium
    apt_missing firefox-esr firefox-esr
    apt_missing WebKitWebDriver webkit2gtk-driver
    apt_missing xvfb-run xvfb xauth
    apt_install
}

need_npm() {
    [ node_modules/.package-lock.json -nt package-lock.json ] 2>/dev/null && return 0
    say "installing npm packages"
    npm ci --no-audit --no-fund --loglevel=error </dev/null
    touch node_modules/.package-lock.json
}

# ---- compiling ------------------------------------------------------------------------------------------------------

# compile OUTDIR FLAGS... -- FILES...: objects and .d files under OUTDIR, only for what is stale. Prints what was compiled.
compile() {
    local out=$1 flags=() f obj dep stale todo=()
    shift
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    shift
    mkdir -p "$out"
    if [ "$(cat "$out/flags" 2>/dev/null)" != "$CLANG ${flags[*]} $COLD $SMALL" ]; then
        rm -rf "$out"; mkdir -p "$out"; echo "$CLANG ${flags[*]} $COLD $SMALL" >"$out/flags"
    fi
    OBJECTS=()
    for f in "$@"; do
        obj=$out/${f//\//_}; obj=${obj%.c}.o
        OBJECTS+=("$obj")
        stale=
        if [ ! -f "$obj" ] || [ ! -f "${obj%.o}.d" ]; then stale=1
        else
            for dep in $(sed -e 's/^[^:]*://' -e 's/\\$//' "${obj%.o}.d"); do
                [ "$dep" -nt "$obj" ] || [ ! -e "$dep" ] && { stale=1; break; }
            done
        fi
        [ -z "$stale" ] || todo+=("$f" "$obj")
    done
    [ ${#todo[@]} -gt 0 ] || return 0
    say "compiling $((${#todo[@]} / 2)) files -> $out"
    printf '%s\0' "${todo[@]}" | CLANG="$CLANG" FLAGS="${flags[*]}" COLD="$COLD" SMALL="$SMALL" xargs -0 -P "$JOBS" -n 2 \
        sh -c 'case $FLAGS in *-O3*) ! printf %s "$0" | grep -Eq "$COLD" || FLAGS="$FLAGS $SMALL" ;; esac
            $CLANG $FLAGS -MMD -MF "${1%.o}.d" -c "$0" -o "$1" || { rm -f "$1"; exit 255; }'
}

# Code that runs once for a file, a definition or a graph is compiled for size; what runs for each token, byte or number is not.
COLD='^(wasm/|src/model/|src/train/|src/base/(json|gguf|status|number)|src/text/regex_(parse|compile|set|dfa)|src/token/(load|binary|save|tok|template|charsmap|traits|transport)|src/token/(huffman|extend|language)|src/bias/transfer|src/tensor/kernel/ref_|src/tensor/(graph|grad|order|prune|plan|general|quantize|dtype)\.c)'
SMALL=-Os
# And in the module for tokenizers alone, where size counts most: all but the ways that every word of a text goes.
COLD_TOKENS='^src/token/(seg_[dglp]|spm_plain|lattice|pieces|vocab|walk|extend|train|measure|huffman|choose|bpe\.c|char_map|utf16|decode|memo|normalize)|^src/(text/(unicode|normalize)|base/(sort|memory|utf8))'
# In the module that only runs models: all but the kernels that most of the time is spent in.
COLD_CORE='^src/(model|bias|decode|train)/|^src/tensor/([a-z_]*|kernel/simd_(attend|gemm))\.c|^src/(token/(encode|walk|split)|text/regex_dfa)\.c'
C_FLAGS=(-std=c11 -Wall -Wextra -Werror)
WASM_FLAGS=(--target=wasm32-unknown-emscripten -O3 -fno-math-errno -ffp-contract=off -mcpu=mvp -msimd128 -mbulk-memory
    -mbulk-memory-opt -mnontrapping-fptoint -msign-ext -mmutable-globals)

core_sources() { find src -name '*.c' | LC_ALL=C sort; }

build_wasm() { # build_wasm NAME COMPILER-FLAGS -- LINKER-FLAGS; of the files in SOURCES
    local name=$1 cflags=() ; shift
    while [ "$1" != -- ]; do cflags+=("$1"); shift; done
    shift
    local out=web/wasm/$name.wasm malloc=${MALLOC:-"$SYSLIB/libdlmalloc.a"}
    compile "build/wasm/$name" "${C_FLAGS[@]}" "${WASM_FLAGS[@]}" "--sysroot=$SYSROOT" "${cflags[@]}" -- "${SOURCES[@]}"
    local o fresh=
    [ -f "$out" ] && [ "$out" -nt build.sh ] && fresh=1
    for o in "${OBJECTS[@]}"; do [ "$o" -nt "$out" ] && fresh=; done
    [ -z "$fresh" ] || return 0
    mkdir -p web/wasm
    "$WASM_LD" --no-entry --strip-all --gc-sections -z stack-size=1048576 --import-memory --max-memory=4294967296 \
        --export=__stack_pointer --export=__heap_base "$@" "${OBJECTS[@]}" \
        "$malloc" "$SYSLIB/libc.a" "$SYSLIB/libcompiler_rt.a" -o "build/wasm/$name.link.wasm"
    if [ "${WASM_OPT:-1}" = 0 ]; then # quick builds while developing
        cp "build/wasm/$name.link.wasm" "$out"
        return 0
    fi
    node_modules/.bin/wasm-opt -O3 --enable-simd --enable-relaxed-simd --enable-threads --enable-bulk-memory \
        --enable-nontrapping-float-to-int --enable-sign-ext --enable-mutable-globals \
        "build/wasm/$name.link.wasm" -o "$out"
    say "$out: $(wc -c <"$out") bytes, $(gzip -9c "$out" | wc -c) gzipped"
}

build() { # VARIANTS="relaxed-threads" builds only that one, for quick rounds while developing
    need_npm
    need_toolchain
    local v SOURCES
    for v in ${VARIANTS:-simd relaxed simd-threads relaxed-threads tokens core}; do
        mapfile -t SOURCES < <(core_sources; ls wasm/*.c)
        case $v in
        simd) build_wasm simd -- ;;
        relaxed) build_wasm relaxed -mrelaxed-simd -- ;;
        simd-threads) build_wasm simd-threads -matomics -- --shared-memory --no-check-features ;;
        relaxed-threads) build_wasm relaxed-threads -mrelaxed-simd -matomics -- --shared-memory --no-check-features ;;
        tokens) build_tokens ;;
        core) build_core ;;
        *) die "no such variant: $v" ;;
        esac
    done
    build_worker
    build_types
    node docs/make_declaration.mjs demos/tokenizers/declaration.json >build/declaration.txt # what was left out, and why
    build_site
    node docs/make_sbom.mjs # sbom.cdx.json: what the modules hold of others, and the hash of each
}

# Tokenizers alone: what a page loads that only encodes and decodes.
build_tokens() {
    local COLD="$COLD|$COLD_TOKENS" SMALL=-Oz SOURCES
    mapfile -t SOURCES < <(find src/base src/text src/token -name '*.c' | LC_ALL=C sort; ls wasm/abi_base.c wasm/abi_token.c wasm/shim.c)
    MALLOC="$SYSLIB/libemmalloc.a" build_wasm tokens -- --wrap=vsnprintf
}

# Models that run, without what trains, exports or analyses them: one thread, plain SIMD.
build_core() {
    local COLD="$COLD|$COLD_TOKENS|$COLD_CORE" SMALL=-Oz SOURCES
    mapfile -t SOURCES < <(core_sources; ls wasm/abi_base.c wasm/abi_token.c wasm/abi_binary.c wasm/abi_model.c wasm/abi_decode.c wasm/abi_tensor.c wasm/shim.c)
    MALLOC="$SYSLIB/libemmalloc.a" build_wasm core -DMT_RUN_ONLY -O2 -fno-vectorize -fno-slp-vectorize --
}

# The workers for models, the whole one and that of microtome/core: each one file of its main file and what that imports.
build_worker() {
    local name more=
    for name in worker core_worker; do
        [ "$name" = worker ] || more=--minify-identifiers # where size counts most
        # shellcheck disable=SC2086
        node_modules/.bin/esbuild "web/runtime/${name}_main.js" --bundle --format=esm --target=es2022 --charset=utf8 --minify-whitespace --minify-syntax $more \
            '--external:node:*' "--banner:js=// @ts-nocheck: made by build.sh of ${name}_main.js" '--footer:js=export {};' --log-level=warning "--outfile=build/$name.js"
        sed -i 's|import(name)|import(/* webpackIgnore: true */ /* @vite-ignore */ name)|' "build/$name.js" # comments are gone by now, and bundlers would warn
        cmp -s "build/$name.js" "web/runtime/$name.js" || cp "build/$name.js" "web/runtime/$name.js"
    done
}

# What a page kept offline consists of, each file with its hash, and a version made of all: the service worker reads it.
build_site() {
    local out=demos/start/files.js
    # shellcheck disable=SC2046
    find demos web $(cat demos/offline/models.txt) -type f ! -path 'web/node/*' ! -name tokens.wasm ! -name core.wasm ! -name core_worker.js ! -path 'demos/offline/*' ! -path "$out" ! -name '*.md' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum >build/site.sums
    {
        printf '// @ts-nocheck: made by build.sh\nself.MICROTOME_SITE = { version: "%s", files: {\n' "$(sha256sum <build/site.sums | cut -c1-16)"
        sed 's/^\([0-9a-f]*\)  \(.*\)$/"\2": "\1",/' build/site.sums
        printf '} };\n'
    } >build/site.js
    cmp -s build/site.js "$out" || cp build/site.js "$out"
}

build_types() {
    [ -f web/index.js ] || return 0
    if [ -f types/index.d.ts ] && [ -z "$(find web tsconfig.json -newer types/index.d.ts \( -name '*.js' -o -name 'tsconfig.json' \) -print -quit)" ]; then return 0; fi
    say "declarations -> types/"
    rm -rf types
    node_modules/.bin/tsc -p tsconfig.types.json
    [ ! -f types/index.d.ts ] || touch types/index.d.ts
}

# The native library: the same C, SIMD kernels compiled against simde, under AddressSanitizer and UBSan, with fault injection.
NATIVE_FLAGS=(-O1 -g -fno-omit-frame-pointer -fno-math-errno -ffp-contract=off -fsanitize=address,undefined
    -fno-sanitize-recover=undefined -DMT_FAULTS -DMT_SIMDE -msse4.1 -mavx2 -pthread)
build_native() {
    need_native
    # shellcheck disable=SC2046
    compile build/native "${C_FLAGS[@]}" "${NATIVE_FLAGS[@]}" -- $(core_sources)
    local lib=("${OBJECTS[@]}") t exe
    # shellcheck disable=SC2046
    compile build/native-tests "${C_FLAGS[@]}" "${NATIVE_FLAGS[@]}" -Itests/native -Isrc -- $(find tests/native -name 'test_*.c' | LC_ALL=C sort)
    link_tests "${#OBJECTS[@]}" "${OBJECTS[@]}" "${lib[@]}"
    # Gradients are checked against differences in double precision: the same sources, scalar, with double for float.
    local double=("${C_FLAGS[@]}" "${NATIVE_FLAGS[@]/-DMT_SIMDE/-DMT_DOUBLE}" -include tests/native/double.h)
    # shellcheck disable=SC2046
    compile build/native-double "${double[@]}" -- $(find src/base src/tensor -name '*.c' | LC_ALL=C sort)
    lib=("${OBJECTS[@]}")
    # shellcheck disable=SC2046
    compile build/native-grad "${double[@]}" -Itests/native -Isrc -- $(find tests/native -name 'grad_*.c' | LC_ALL=C sort)
    link_tests "${#OBJECTS[@]}" "${OBJECTS[@]}" "${lib[@]}"
}

link_tests() { # link_tests COUNT OBJECTS... LIBRARY...: a program for each of the first COUNT objects
    local count=$1 t o exe stale
    shift
    local objects=("${@:1:count}") lib=("${@:count + 1}")
    for t in "${objects[@]}"; do
        exe=${t%.o}; exe=build/native-tests/${exe##*tests_native_}
        stale=; for o in "$t" "${lib[@]}"; do [ "$o" -nt "$exe" ] && { stale=1; break; }; done
        [ -n "$stale" ] || continue
        "$CLANG" "${NATIVE_FLAGS[@]}" "$t" "${lib[@]}" -lm -o "$exe"
    done
}

# Fuzz targets: the same sources under libFuzzer, AddressSanitizer and UBSan. First inputs are made by tests/fuzz/seeds.mjs;
# what a run finds that reaches new code stays in build/fuzz/corpus.
build_fuzz() {
    need_native
    local flags=("${C_FLAGS[@]}" "${NATIVE_FLAGS[@]/-fsanitize=address,undefined/-fsanitize=fuzzer-no-link,address,undefined}") lib o exe stale
    # shellcheck disable=SC2046
    compile build/fuzz/lib "${flags[@]}" -- $(core_sources)
    lib=("${OBJECTS[@]}")
    # shellcheck disable=SC2046
    compile build/fuzz/targets "${flags[@]}" -Itests/native -Isrc -- $(find tests/fuzz -name 'fuzz_*.c' | LC_ALL=C sort)
    for o in "${OBJECTS[@]}"; do
        exe=${o%.o}; exe=build/fuzz/${exe##*tests_fuzz_fuzz_}
        stale=; for dep in "$o" "${lib[@]}"; do [ "$dep" -nt "$exe" ] && { stale=1; break; }; done
        [ -z "$stale" ] || "$CLANG" "${flags[@]/fuzzer-no-link/fuzzer}" "$o" "${lib[@]}" -lm -o "$exe"
    done
    node tests/fuzz/seeds.mjs
}

# How work grows with the input: the core counts its basic blocks, the linker counts what is copied and allocated.
build_growth() {
    need_native
    local flags=("${C_FLAGS[@]}" -O1 -g -fno-math-errno -ffp-contract=off -DMT_SIMDE -msse4.1 -mavx2 -pthread) lib o wrap=()
    # shellcheck disable=SC2046
    compile build/growth/lib "${flags[@]}" -fsanitize-coverage=trace-pc-guard -- $(core_sources)
    lib=("${OBJECTS[@]}")
    # shellcheck disable=SC2046
    compile build/growth/cases "${flags[@]}" -Itests/native -Isrc -- $(find tests/growth -name '*.c' | LC_ALL=C sort)
    for o in memcpy memmove memset memcmp memchr malloc calloc realloc strlen; do wrap+=("-Wl,--wrap=$o"); done
    "$CLANG" "${flags[@]}" "${OBJECTS[@]}" "${lib[@]}" "${wrap[@]}" -lm -o build/growth/growth
}

fuzz() { # fuzz TARGET SECONDS
    local new=build/fuzz/corpus/$1 log=build/fuzz/$1.log good=1
    mkdir -p "$new" build/fuzz/crashes
    say "fuzzing $1 for $2 seconds"
    "build/fuzz/$1" -max_total_time="$2" -timeout=20 -rss_limit_mb=2048 -max_len=65536 -len_control=10 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crashes/$1-" "$new" "build/fuzz/first/$1" >"$log" 2>&1 || good=
    grep -aE '^(stat::|==|SUMMARY|.*ERROR|.*DONE|tests/fuzz)' "$log" || true
    [ -n "$good" ] || die "$1 failed: the input is in build/fuzz/crashes, its report in $log"
}

# ---- commands -------------------------------------------------------------------------------------------------------

command=${1:-build}
shift || true
mkdir -p build
exec 9>build/.lock
flock 9 # one build at a time in this tree
case $command in
build) build ;;
native) build_native ;;
start)
    build
    flock -u 9
    exec node web/node/cli.js serve --root . --open-path demos/ ${1:+--port "$1"}
    ;;
offline)
    build
    node demos/offline/pack.js dist/microtome-offline.html
    ;;
test)
    build
    build_native
    build_fuzz
    build_growth
    need_browsers
    say "tests"
    filter=${1:-}
    folders=(tests/unit tests/conformance tests/browser)
    [ "$filter" != labs ] || folders+=(tests/labs) # the claims of all labs at three seeds: many minutes
    mapfile -t files < <(find "${folders[@]}" -name "*${filter}*.test.mjs" -o -path "tests/${filter}/*.test.mjs" | LC_ALL=C sort -u)
    [ ${#files[@]} -gt 0 ] || die "no test file matches '$filter'"
    node --test --test-concurrency="$JOBS" --test-reporter=spec "${files[@]}"
    ;;
bench)
    build
    filter=${1:-}
    mapfile -t files < <(find tests/bench -name "*${filter}*.bench.mjs" | LC_ALL=C sort)
    [ ${#files[@]} -gt 0 ] || die "no benchmark matches '$filter'"
    for f in "${files[@]}"; do say "$f"; node "$f"; done
    ;;
fuzz)
    if [ "${1:-}" = differential ]; then # beside the native tokenizers library: SECONDS, SEED
        build
        node tests/fuzz/differential.mjs "${2:-60}" ${3:+"$3"}
        exit
    fi
    build_fuzz
    targets=("${1:-all}")
    [ "${targets[0]}" != all ] || mapfile -t targets < <(find tests/fuzz -name 'fuzz_*.c' -exec basename {} .c \; | sed 's/^fuzz_//' | LC_ALL=C sort)
    for t in "${targets[@]}"; do
        [ -f "tests/fuzz/fuzz_$t.c" ] || die "no fuzz target '$t'"
        fuzz "$t" "${2:-60}"
    done
    [ "${1:-all}" != all ] || node tests/fuzz/table.mjs "$("$CLANG" --version | head -n 1)" # to docs/robustness.md
    ;;
growth)
    build_growth
    node tests/growth/table.mjs "$@"
    ;;
format)
    need_native
    find src wasm tests -name '*.[ch]' -exec "$CLANG_FORMAT" -i {} +
    ;;
docs)
    need_npm
    node docs/make_api.mjs
    ;;
clean) rm -rf build/* dist web/wasm demos/start/files.js demos/tokenizers/declaration.json types sbom.cdx.json ;;
*) die "unknown command '$command': build, native, start, offline, test, bench, fuzz, growth, format, docs, clean" ;;
esac
