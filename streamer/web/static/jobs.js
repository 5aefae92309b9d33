// Archive jobs by batch: how far, how fast, until when.
import { apply, clock, count, counted, percent, state } from "/dashboard/words.js";

export default {
  template: `
    <div><div id="content" tabindex="-1">
      <div class="top"><div><h1>Jobs</h1><p class="muted">Archive work that was submitted with <code>streamer jobs submit</code>.</p></div></div>
      <div role="status"><p v-if="said" id="said" class="toast">{{ said }}</p></div>
      <p v-if="known && !names.length" id="no-jobs" class="nothing">No jobs on this bus.</p>
      <article v-for="name in names" :key="name" class="batch" :data-batch="name" :aria-label="'Batch ' + name">
        <header><h2>{{ name }}</h2><span v-for="(n, one) in batches[name].counts" :key="one" class="chip" :class="one">{{ n }} {{ word(one) }}</span>
          <button v-if="!batches[name].over" type="button" class="button small danger" :disabled="busy" @click="cancel({ batch: name })">Cancel<span class="unseen"> batch {{ name }}</span></button></header>
        <progress :value="batches[name].fraction ?? (batches[name].over ? 1 : null)" max="1" :aria-label="'Progress of batch ' + name"></progress>
        <p class="muted">{{ facts(batches[name]) }}</p>
        <details :open="!batches[name].over">
          <summary>{{ counted(batches[name].n, "job") }}</summary>
          <table class="grid" role="table" :aria-label="'Jobs of batch ' + name">
            <thead role="rowgroup"><tr role="row"><th v-for="one in ['Stream', 'State', 'Progress', 'Records', 'Worker']" :key="one" scope="col" role="columnheader" :class="{ n: one === 'Records' }">{{ one }}</th>
              <th scope="col" role="columnheader"><span class="unseen">Actions</span></th></tr></thead>
            <tbody role="rowgroup"><tr v-for="job in batches[name].jobs" :key="job.job" role="row" :data-job="job.job">
              <th scope="row" role="rowheader">{{ job.stream }}<span v-if="job.note" class="why">{{ job.note }}</span></th>
              <td role="cell" data-label="State"><span class="chip" :class="job.state">{{ word(job.state) }}</span><span v-if="job.attempt > 1" class="muted"> attempt {{ job.attempt }}</span></td>
              <td role="cell" data-label="Progress" class="wide"><template v-if="job.state !== 'waiting'"><progress v-if="job.fraction !== null" :value="job.fraction" max="1" :aria-label="'Progress of ' + job.stream"></progress>
                <span class="muted"> {{ clock(job.media_s) }}<template v-if="job.length_s"> of {{ clock(job.length_s) }}</template></span></template></td>
              <td role="cell" data-label="Records" class="n">{{ count(job.records) }}</td>
              <td role="cell" data-label="Worker">{{ job.worker ?? "" }}</td>
              <td role="cell" class="acts"><button v-if="!job.over && job.state !== 'cancelling'" type="button" class="button small danger" :disabled="busy" @click="cancel({ job: job.job })">Cancel<span class="unseen">{{ " " + job.stream }}</span></button></td>
            </tr></tbody>
          </table>
          <p v-if="batches[name].more" class="muted">{{ counted(batches[name].more, "more job") }}: <code>streamer jobs status {{ name }} --json</code> tells all.</p>
        </details>
      </article>
    </div></div>`,
  data: () => ({ known: false, batches: {}, busy: false, said: "" }),
  computed: {
    names() {
      return Object.keys(this.batches).sort((a, b) => this.batches[a].at - this.batches[b].at);
    },
  },
  mounted() {
    this.$emit("ready");
  },
  methods: {
    clock, count, counted,
    word: state,
    facts(batch) {
      const said = [];
      if (batch.fraction !== null && batch.total_s) said.push(`${percent(batch.fraction)} of ${clock(batch.total_s)} of video`);
      if (batch.speed) said.push(`${batch.speed.toFixed(1)}× real time`);
      if (batch.left_s !== null) {
        const end = new Date(Date.now() + 1000 * batch.left_s).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
        said.push(`about ${clock(batch.left_s)} left, until ${end}`);
      }
      said.push(counted(batch.records, "record"));
      return said.join(" · ");
    },
    tell(news) {
      if (news.fresh) this.batches = {};
      if ("known" in news) this.known = news.known;
      apply(this.batches, news.batches);
    },
    cancel(what) {
      this.busy = true;
      this.said = "";
      this.$emit("act", { what: "cancel", ...what });
    },
    answered({ text }) {
      this.busy = false;
      this.said = text;
    },
  },
};
