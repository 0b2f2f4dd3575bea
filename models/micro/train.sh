#!/bin/sh
# From nothing to a GGUF file: fetches sources, makes data, learns a tokenizer, trains, exports.
#
#   models/micro/train.sh [--work DIR] [--minutes N] [--size small|medium] [--examples N] [--gpu]
#
# Everything it makes is below DIR (default target/micro); what is there already is not made again, and a training that
# was stopped goes on from its last checkpoint. Needs cargo and Python 3.11 or later.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=target/micro minutes=120 size=small examples=100000 gpu=
while [ $# -gt 0 ]; do
    case $1 in
        --work) work=$2; shift ;;
        --minutes) minutes=$2; shift ;;
        --size) size=$2; shift ;;
        --examples) examples=$2; shift ;;
        --gpu) gpu=yes ;;
        *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2 ;;
    esac
    shift
done
case $size in
    small) vocabulary=2048 shape='--width 160 --layers 6 --heads 5 --hidden 320 --reading 0.02' ;;
    # 14 million parameters; hours on a CPU.
    medium) vocabulary=4096 shape='--width 384 --layers 8 --heads 12 --hidden 896 --rate 0.008' ;;
    *) echo "unknown size $size" >&2; exit 2 ;;
esac
mkdir -p "$work"
work=$(cd "$work" && pwd)

python=$work/venv/bin/python
if [ ! -x "$python" ]; then
    python3 -m venv "$work/venv"
    if [ -n "$gpu" ]; then
        sed 's/^jax==/jax[cuda12]==/' "$here/requirements.txt" > "$work/requirements.txt"
    else
        cp "$here/requirements.txt" "$work/requirements.txt"
    fi
    "$python" -m pip install --quiet -r "$work/requirements.txt"
fi

if [ ! -d "$work/sources" ]; then
    "$python" "$here/fetch.py" "$work/sources.part"
    mv "$work/sources.part" "$work/sources"
fi

# make KIND SPLIT COUNT OUT [--shard N]
make() {
    (cd "$here/../.." && cargo run --release --no-default-features --example episodes -- "$1" \
        --sources "$work/sources" --texts "$here" --split "$2" --count "$3" --out "$4" ${5:+"$5" "$6"})
}
mkdir -p "$work/data"
[ -e "$work/data/train-0.jsonl" ] || make rank train "$examples" "$work/data/train" --shard 5000
# One part in 25: how the loop goes, for what the model writes where nothing is ranked.
[ -e "$work/data/train-episodes-0.jsonl" ] || make episodes train $((examples / 25)) "$work/data/train-episodes" --shard 5000
[ -e "$work/data/dev.jsonl" ] || make rank dev 1500 "$work/data/dev.jsonl"
"$python" "$here/examples.py" "$work/ids-$size" "$work"/data/train-*.jsonl "$work/data/dev.jsonl" --vocabulary "$vocabulary"

if [ -n "$gpu" ]; then
    # Large batches, and enough processes to make them.
    shape="$shape --tokens 65536 --workers $(nproc)"
else
    # Without these glibc gives every step's memory back and takes it again page by page: half the speed.
    export MALLOC_MMAP_MAX_=0 MALLOC_ARENA_MAX=1 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
    export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
fi
# shellcheck disable=SC2086 # a list of options
"$python" "$here/train.py" "$work/ids-$size" "$work/run-$size" --minutes "$minutes" --resume $shape
"$python" "$here/rank_eval.py" "$work/run-$size/checkpoint.pkl" "$work/ids-$size" "$work/data/dev.jsonl" --features "$work/features.jsonl"
# The tables of src/repair/order/weights.rs for this model.
"$python" "$here/fit.py" "$work/features.jsonl"
"$python" "$here/export.py" "$work/run-$size/checkpoint.pkl" "$work/ids-$size/tokenizer.json" "$work/micro-$size"
