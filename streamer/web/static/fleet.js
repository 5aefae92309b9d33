// The fleet: who works, who owns what, what waits.
import { apply, byName, count, state } from "/dashboard/words.js";

export default {
  template: `
    <div><div id="content" tabindex="-1">
      <div class="top"><h1>Fleet</h1></div>
      <p v-if="known && !names.length" id="no-fleet" class="nothing">No worker is on this bus: nobody follows its control topic and nobody does its jobs.
        <code>streamer worker</code> starts one; a <code>streamer run</code> is no part of a fleet.</p>
      <template v-if="known && summary">
        <div class="cards">
          <div class="card"><b>{{ summary.workers }}</b><span>{{ summary.workers === 1 ? "worker" : "workers" }}</span></div>
          <div class="card"><b>{{ summary.streams }}</b><span>streams: {{ states }}</span></div>
          <div class="card"><b>{{ summary.partitions }}</b><span>partitions of streams<template v-if="summary.unowned">, {{ summary.unowned }} owned by nobody</template></span></div>
          <div class="card"><b>{{ summary.lag_jobs === null ? "–" : count(summary.lag_jobs) }}</b><span>jobs behind: not yet over, by the group's position</span></div>
          <div v-if="summary.passed_over" class="card"><b>{{ count(summary.passed_over) }}</b><span>records that could not be read</span></div>
        </div>
        <div role="status"><p v-if="summary.moving" class="banner">Partitions are being shared out anew.</p></div>
      </template>
      <section v-if="names.length">
        <h2 id="workers-title">Workers</h2>
        <table class="grid" role="table" aria-labelledby="workers-title">
          <thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Worker</th><th scope="col" role="columnheader" class="n">Live</th><th scope="col" role="columnheader" class="n">Streams / at most</th>
            <th scope="col" role="columnheader" class="n">Frames/s / at most</th><th scope="col" role="columnheader" class="n">Jobs / at most</th><th scope="col" role="columnheader">Partitions of streams</th></tr></thead>
          <tbody role="rowgroup"><tr v-for="name in names" :key="name" role="row" :data-worker="name">
            <th scope="row" role="rowheader">{{ name }}</th>
            <td role="cell" data-label="Live" class="n">{{ workers[name].live }}</td>
            <td role="cell" data-label="Streams / at most" class="n">{{ workers[name].streams }} / {{ workers[name].max_streams ?? "–" }}</td>
            <td role="cell" data-label="Frames/s / at most" class="n">{{ workers[name].fps.toFixed(1) }} / {{ workers[name].max_fps ?? "–" }}</td>
            <td role="cell" data-label="Jobs / at most" class="n">{{ workers[name].jobs }} / {{ workers[name].job_slots ?? "–" }}</td>
            <td role="cell" data-label="Partitions of streams" class="wide">{{ workers[name].partitions || "none" }}
              <span class="why">{{ workers[name].n_partitions }} of streams, {{ workers[name].job_partitions }} of jobs</span></td>
          </tr></tbody>
        </table>
      </section>
      <section v-if="known && names.length">
        <h2 id="waiting-title">Streams that nobody watches</h2>
        <p v-if="!waits.length" class="muted">Every wanted stream is watched.</p>
        <table v-else class="grid" role="table" aria-labelledby="waiting-title">
          <thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Stream</th><th scope="col" role="columnheader">State</th><th scope="col" role="columnheader" class="n">Priority</th><th scope="col" role="columnheader">Why</th></tr></thead>
          <tbody role="rowgroup"><tr v-for="name in waits" :key="name" role="row" :data-stream="name">
            <th scope="row" role="rowheader"><a :href="'/stream/' + encodeURIComponent(name)">{{ name }}</a></th>
            <td role="cell" data-label="State"><span class="chip" :class="waiting[name].state">{{ word(waiting[name].state) }}</span></td>
            <td role="cell" data-label="Priority" class="n">{{ waiting[name].priority }}</td>
            <td role="cell" data-label="Why" class="wide">{{ waiting[name].note ?? "" }}</td>
          </tr></tbody>
        </table>
      </section>
    </div></div>`,
  data: () => ({ known: false, workers: {}, waiting: {}, all: {} }),
  computed: {
    names() {
      return Object.keys(this.workers).sort(byName);
    },
    waits() {
      return Object.keys(this.waiting).sort((a, b) => this.waiting[b].priority - this.waiting[a].priority || byName(a, b));
    },
    summary() {
      return this.all.all;
    },
    states() {
      return Object.entries(this.summary.states).map(([word, n]) => `${n} ${state(word)}`).join(", ") || "none";
    },
  },
  mounted() {
    this.$emit("ready");
  },
  methods: {
    count,
    word: state,
    tell(news) {
      if (news.fresh) [this.workers, this.waiting, this.all] = [{}, {}, {}];
      if ("known" in news) this.known = news.known;
      apply(this.workers, news.workers);
      apply(this.waiting, news.waiting);
      apply(this.all, news.summary);
    },
  },
};
