// One stream: its facts, and each of its faces over time.
import { apply, age, clock, count, LABELS, percent, signed, state } from "/dashboard/words.js";
import { Plots, SPAN_S, STEP_S } from "/dashboard/plots.js";

const KEPT_WINDOWS = 128;

export default {
  props: { stream: String, colours: Object },
  template: `
    <div><div id="content" tabindex="-1">
      <div class="top">
        <div><p><a href="/">← All streams</a></p><h1>{{ stream }}</h1></div>
        <template v-if="fleet && head.defined">
          <button id="pause" type="button" class="button" :disabled="busy" @click="act(head.paused ? 'resume' : 'pause')">{{ head.paused ? "Resume" : "Pause" }}</button>
          <button id="remove" type="button" class="button danger" :disabled="busy" @click="$refs.removing.showModal()">Remove</button>
        </template>
      </div>
      <div role="status"><p v-if="said" id="said" class="toast">{{ said }}</p>
        <p v-if="known && missing" id="missing" class="nothing">There is no stream {{ stream }} on this bus: it may have been removed, or the
          address has a slip in it. <a href="/">All streams</a> are on the first page.</p></div>
      <template v-if="head.state && !missing">
        <p v-if="head.note" class="banner">{{ head.note }}</p>
        <dl class="facts">
          <div><dt>State</dt><dd><span class="chip" :class="head.state">{{ word(head.state) }}</span></dd></div>
          <div><dt>Frame age</dt><dd>{{ age(head.age_s) }}</dd></div>
          <div><dt>Faces</dt><dd>{{ head.faces }}</dd></div>
          <div><dt>Frames/s</dt><dd>{{ head.fps === null ? "–" : head.fps.toFixed(1) }}</dd></div>
          <div><dt>Decoded</dt><dd>{{ count(head.decoded) }}</dd></div>
          <div><dt>Analysed</dt><dd>{{ count(head.analysed) }}</dd></div>
          <div><dt>Dropped</dt><dd>{{ count(head.dropped) }}<span v-if="head.dropped" class="muted"> ({{ drops }})</span></dd></div>
          <div v-if="head.corrupt"><dt>Corrupt packets</dt><dd>{{ count(head.corrupt) }}</dd></div>
          <div v-if="head.worker"><dt>Worker</dt><dd>{{ head.worker }}</dd></div>
          <div v-if="head.source"><dt>Source</dt><dd>{{ head.source }}</dd></div>
          <div v-if="set"><dt>Set</dt><dd>{{ set }}</dd></div>
          <div v-if="head.model"><dt>Model</dt><dd>{{ head.model }}</dd></div>
        </dl>
        <p v-if="!fleet && known" class="muted">Read only: this stream belongs to no fleet. A <code>streamer run</code> is changed at its own control address.</p>
        <h2 v-if="faces.length" class="unseen">Faces</h2>
        <p v-if="!faces.length" class="nothing">No face was seen in the last minute.</p>
        <ul v-else class="legend" aria-label="Colours of the expressions"><li v-for="one in labels" :key="one"><span class="dot" :style="{ background: colours[one] }"></span>{{ one }}</li></ul>
        <article v-for="face in faces" :key="face.name" class="face" :class="{ gone: face.left }" :data-track="face.name" :aria-label="'Face ' + face.number">
          <header>
            <h3>Face {{ face.number }}</h3>
            <span v-if="face.left" class="chip">left: {{ face.left }}</span>
            <span v-else-if="!face.there" class="chip">not seen now</span>
            <span v-else-if="face.quality === 'low'" class="says muted">no label</span>
            <span v-else class="says"><span class="dot" :style="{ background: colours[face.label] }"></span>{{ face.label }} <span class="muted">{{ percent(face.p) }}</span></span>
            <span v-if="face.quality === 'low'" class="chip low">quality low: {{ face.causes.join(", ") || "no cause told" }}</span>
            <span class="chip" :class="face.state" :title="tells[face.state]">{{ face.state }}</span>
            <span class="muted">state {{ clock(face.state_age_s) }} old · valence {{ signed(face.valence) }}, arousal {{ signed(face.arousal) }} ({{ face.va_origin }}) · {{ face.face_px }} px</span>
          </header>
          <button v-if="face.left" type="button" class="button small" :aria-expanded="!!opened[face.name]" @click="opened[face.name] = !opened[face.name]">{{ opened[face.name] ? "Hide" : "Show" }} its last minutes</button>
          <div v-if="!face.left || opened[face.name]" class="plots">
            <figure><figcaption>Probabilities, the last two minutes</figcaption>
              <div class="plot" role="img" :aria-label="'Probabilities of the seven expressions of face ' + face.number + ' over the last two minutes; now ' + spoken(face)" :ref="(el) => place(face.name, 'probs', el)"></div></figure>
            <figure><figcaption>Circumplex, the last half minute</figcaption>
              <div class="plot round" role="img" :aria-label="'Trail in valence and arousal of face ' + face.number + '; now valence ' + signed(face.valence) + ', arousal ' + signed(face.arousal)" :ref="(el) => place(face.name, 'round', el)"></div></figure>
            <figure><figcaption><label>Minimum, mean, maximum of each block:
                <select :value="bands[face.name] ?? 'va'" @change="choose(face.name, $event.target.value)">
                  <option value="va">valence and arousal</option><option v-for="one in labels" :key="one" :value="one">{{ one }}</option></select></label></figcaption>
              <div class="plot flat" role="img" :aria-label="'Minimum, mean and maximum of blocks of observations of face ' + face.number" :ref="(el) => place(face.name, 'band', el)"></div></figure>
            <figure v-if="face.stat"><figcaption>Newest block</figcaption>
              <ul class="stat"><li v-for="(one, k) in labels" :key="one"><span>{{ one }}</span>
                <span class="track"><span class="span" :style="{ left: 100 * face.stat.min[k] + '%', width: 100 * (face.stat.max[k] - face.stat.min[k]) + '%', background: colours[one] }"></span>
                  <span class="mean" :style="{ left: 100 * face.stat.mean[k] + '%' }"></span></span>
                <span class="n">{{ face.stat.mean[k].toFixed(2) }}</span></li></ul></figure>
          </div>
        </article>
      </template>
      <dialog ref="removing" class="sheet" aria-labelledby="removing-title">
        <form @submit.prevent="act('remove')">
          <h2 id="removing-title">Remove {{ stream }}?</h2>
          <p>It is watched no more. What it gave stays on the topics.</p>
          <div class="row"><button type="button" class="button" @click="$refs.removing.close()">Keep it</button>
            <button class="button danger" :disabled="busy">Remove</button></div>
        </form>
      </dialog>
    </div></div>`,
  data: () => ({
    labels: LABELS,
    head: {},
    tracks: {},
    bands: {},
    opened: {},
    known: false,
    fleet: false,
    missing: false,
    busy: false,
    said: "",
    tells: {
      cold: "Began with nothing; warm after one full block",
      warm: "Has seen one full block",
      restored: "Taken over from another worker; warm after one full block",
    },
  }),
  updated() {
    this.drawAll(false);
  },
  computed: {
    faces() {
      const found = Object.entries(this.tracks).map(([name, face]) => ({ ...face, name }));
      return found.sort((a, b) => !!a.left - !!b.left || (a.left ? b.number - a.number : a.number - b.number));
    },
    drops() {
      return Object.entries(this.head.drops).map(([cause, n]) => `${state(cause)} ${count(n)}`).join(", ");
    },
    set() {
      const all = this.head.settings;
      if (!all) return "";
      const said = [];
      if (all.sample_fps !== null) said.push(`${all.sample_fps} fps`);
      if (all.keyframes_only !== null) said.push(all.keyframes_only ? "key frames" : "every frame");
      if (all.max_faces !== null) said.push(all.max_faces ? `${all.max_faces} faces` : "every face");
      if (all.priority) said.push(`priority ${all.priority}`);
      if (all.repeat) said.push("repeat");
      return said.join(", ");
    },
  },
  created() {
    this.points = {};
    this.windows = {};
    this.plots = {};
    this.now = 0;
    this.scheme = window.matchMedia("(prefers-color-scheme: dark)");
    this.rescheme = () => this.drawAll(true);
  },
  mounted() {
    this.scheme.addEventListener("change", this.rescheme);
    this.$emit("ready");
  },
  beforeUnmount() {
    this.scheme.removeEventListener("change", this.rescheme);
    for (const plots of Object.values(this.plots)) plots.dispose();
  },
  methods: {
    age, clock, count, percent, signed,
    word: state,
    spoken: (face) => (face.label ? `${face.label}, ${percent(face.p)}` : "no label, the quality is low"),
    tell(news) {
      if (news.fresh) [this.tracks, this.points, this.windows] = [{}, {}, {}];
      for (const fact of ["known", "fleet", "missing"]) if (fact in news) this[fact] = news[fact];
      if (news.head) this.head = { ...this.head, ...news.head.set.head };
      apply(this.tracks, news.tracks);
      for (const name of news.tracks?.gone ?? []) this.forget(name);
      this.now = news.now_s ?? this.now;
      for (const [name, points] of Object.entries(news.points ?? {})) this.points[name] = joined(this.points[name] ?? [], points, this.now / STEP_S - SPAN_S / STEP_S);
      for (const [name, windows] of Object.entries(news.windows ?? {})) this.windows[name] = [...(this.windows[name] ?? []), ...windows].slice(-KEPT_WINDOWS);
      if (news.now_s) this.$forceUpdate(); // points are no reactive data: `updated` draws
    },
    place(name, kind, element) {
      if (!element) return;
      this.plots[name] ??= new Plots(this.colours);
      this.plots[name].place(kind, element);
    },
    choose(name, what) {
      this.bands[name] = what;
    },
    drawAll(anew) {
      for (const [name, plots] of Object.entries(this.plots)) {
        if (this.tracks[name]) plots.draw(this.points[name] ?? [], this.windows[name] ?? [], this.now, this.bands[name] ?? "va", anew);
      }
    },
    forget(name) {
      this.plots[name]?.dispose();
      for (const kept of [this.plots, this.points, this.windows]) delete kept[name];
    },
    act(what) {
      this.busy = true;
      this.said = "";
      this.$emit("act", { what, stream: this.stream });
    },
    answered({ text }) {
      this.busy = false;
      this.$refs.removing.close();
      this.said = text;
    },
  },
};

/** Points after those that are known; the last known one was unfinished. A clock that was set back begins anew. */
function joined(known, points, since) {
  const kept = points[0][0] < (known[0]?.[0] ?? -Infinity) ? [] : known.filter((point) => point[0] < points[0][0]);
  return [...kept, ...points].filter((point) => point[0] > since);
}
