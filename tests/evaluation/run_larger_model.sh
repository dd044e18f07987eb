#!/bin/bash
# The runs of docs/results.md on the larger model: tests/evaluation/run_larger_model.sh FOLDER [PART PARTS]
#
# Run it in the clone. It evaluates 40 rounds, each a shard of every family, into files of FOLDER, at the lowest
# priority. With PART and PARTS it runs every PARTS-th round, beginning with the PART-th: start 1 2 and 2 2 to use two
# cores. A file named FOLDER/stop ends it after the shard that runs; a kill ends it at once. The same command goes on.
# $EC_AGENT is the command, .venv/bin/ec-agent by default.
set -u
folder=${1:?"give the folder of the runs"} part=${2:-1} parts=${3:-1}
command=${EC_AGENT:-.venv/bin/ec-agent}
export EC_AGENT_LOCAL_MODEL=larger
mkdir -p "$folder"

# family, task source, number of the shard, number of shards, first so many tasks, agent
run() {
  local out="$folder/$1-$3-of-$4.db"
  [ -e "$out.done" ] && return
  [ -e "$folder/stop" ] && exit 0
  if nice -n 19 $command eval "$2" --agent "graphs.eval_agents:$6" --n 8 --limit "$5" --shard "$3/$4" --out "$out" \
    >>"$folder/$1.log" 2>&1 </dev/null; then
    touch "$out.done"
  else
    echo "$(date): shard $3/$4 of $1 ended with an error; see $1.log" >>"$folder/failed.log"
    sleep 5
  fi
}

for ((round = part; round <= 40; round += parts)); do
  run sums sums $round 40 200 make_agent
  run bfcl bfcl:simple_python $round 80 400 make_agent
  [ $round -gt 30 ] && continue
  run long long $round 30 60 make_agent
  run think reasoning_gym:gsm_symbolic $round 30 60 thinking_agent
done
