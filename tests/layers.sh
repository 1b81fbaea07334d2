#!/bin/sh
# layers.sh - arrows point down only: base < tensor, kernels < quant, image < ops < graph < arch, format < train < lq.c;
# in server/: codec < observe < http, models; models < infer, jobs; routes above them
set -u
status=0
# forbid TEXT REGEX FILE...: no line of the files matches
forbid() {
    text=$1 regex=$2
    shift 2
    if grep -nE "$regex" "$@" 2>/dev/null; then
        echo "layers: $text" >&2
        status=1
    fi
}
rooms() { ls engine/"$1"/*.[ch] engine/"$1"/*/*.[ch] 2>/dev/null; }
include() { echo "#include \"($1)/"; }

forbid 'base uses no other room' "$(include 'tensor|kernels|quant|image|ops|graph|arch|format|train')" $(rooms base) /dev/null
forbid 'kernels use no other room' "$(include 'base|tensor|quant|image|ops|graph|arch|format|train')" $(rooms kernels) /dev/null
forbid 'tensor points up' "$(include 'kernels|quant|image|ops|graph|arch|format|train')" $(rooms tensor) /dev/null
forbid 'quant points up' "$(include 'image|ops|graph|arch|format|train')" $(rooms quant) /dev/null
forbid 'image points up' "$(include 'quant|ops|graph|arch|format|train')" $(rooms image) /dev/null
forbid 'ops point up' "$(include 'graph|arch|format|train')" $(rooms ops) /dev/null
forbid 'graph points up' "$(include 'arch|format|train')" $(rooms graph) /dev/null
forbid 'format points up' "$(include 'arch|train')" $(rooms format) /dev/null
forbid 'arch points up' "$(include 'format|train')" $(rooms arch) /dev/null
engine=$(find engine -name '*.[ch]')
forbid 'the engine knows no server' 'include [<"](microhttpd|sqlite3|server/)' $engine /dev/null
forbid 'the engine never prints, exits or reads the environment' '\b(printf|fputs|puts|perror|exit|abort|getenv)\(' $engine /dev/null
forbid 'only gemm.c knows BLAS' 'cblas' $(find engine -name '*.[ch]' ! -name gemm.c) /dev/null
server=$(find server -name '*.[ch]')
forbid 'only http*.c know libmicrohttpd' 'include (<microhttpd|"http/http_private)' \
    $(find server -name '*.[ch]' ! -path 'server/http/http*') /dev/null
forbid 'the server uses the engine through lq.h and lq_learn.h' "$(include 'base|tensor|kernels|quant|image|ops|graph|arch|format|train')" $server /dev/null
forbid 'only store.c knows SQLite' 'include <sqlite3' $(find server -name '*.[ch]' ! -path server/jobs/store.c) /dev/null
forbid 'codec uses no other room' "$(include 'observe|http|models|infer|jobs|routes')" server/codec/*.[ch] /dev/null
forbid 'observe points up' "$(include 'http|models|infer|jobs|routes')" server/observe/*.[ch] /dev/null
forbid 'http knows no models' "$(include 'models|infer|jobs|routes')" server/http/*.[ch] /dev/null
forbid 'models know no requests' "$(include 'http|infer|jobs|routes')" server/models/*.[ch] /dev/null
forbid 'infer knows no HTTP' "$(include 'http|jobs|routes')" server/infer/*.[ch] /dev/null
forbid 'jobs know neither HTTP nor inference' "$(include 'http|infer|routes')" server/jobs/*.[ch] /dev/null
forbid 'production code knows no tests' 'include "support/' $engine $server /dev/null
exit $status
