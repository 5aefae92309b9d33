// All streams: sorted, filtered, and what can be done with each.
import { age, apply, byName, count, counted, percent, signed, state } from "/dashboard/words.js";

const STEPS = 30;
const SHOWN = 200;
const SAID_MS = 15000;
const COLUMNS = [
  { name: "stream", text: "Stream", of: (row) => row.name, first: 1 },
  { name: "state", text: "State", of: (row) => row.state, first: 1 },
  { name: "age", text: "Frame age", of: (row) => row.age_s ?? -1, first: -1, n: true },
  { name: "faces", text: "Faces", of: (row) => row.faces, first: -1, n: true },
  { name: "expression", text: "Expression", of: (row) => [row.label ?? "~", 1 - (row.p ?? 0)].join(), first: 1 },
  { name: "valence", text: "Valence", of: (row) => row.valence ?? -9, first: -1, n: true },
  { name: "arousal", text: "Arousal", of: (row) => row.arousal ?? -9, first: -1, n: true },
  { name: "line", text: "Last minute" },
  { name: "rate", text: "Frames/s", of: (row) => row.fps ?? -1, first: -1, n: true },
  { name: "drops", text: "Dropped", of: (row) => row.dropped, first: -1, n: true },
];

export default {
  props: { colours: Object },
  template: `
    <div><div id="content" tabindex="-1">
      <div class="top">
        <div>
          <h1>Streams</h1>
          <p class="muted" role="status" id="shown-count">{{ summary }}</p>
        </div>
        <label class="field"><span>Filter by name or source</span>
          <input id="filter" type="search" v-model="text" autocomplete="off" spellcheck="false"></label>
        <label class="field"><span>State</span>
          <select id="state-filter" v-model="wanted">
            <option value="">all</option>
            <option v-for="one in states" :key="one" :value="one">{{ word(one) }}</option>
          </select></label>
        <button v-if="fleet" id="add" type="button" class="button main" @click="openAdding">Add a stream</button>
      </div>
      <p v-if="known && !fleet" id="read-only" class="banner">Read only: no worker of a fleet is on this bus, so there is
        nobody who would add, pause or remove a stream. A <code>streamer run</code> is changed at its own control address.</p>
      <div role="status"><p v-if="said" id="said" class="toast">{{ said }}</p></div>
      <p v-if="known && !names.length" class="nothing">No streams on this bus yet. They appear here as soon as a
        <code>streamer run</code> or a worker watches one.</p>
      <p v-else-if="known && !rows.length" class="nothing">No stream fits the filter.</p>
      <table v-if="rows.length" class="grid" role="table">
        <caption class="unseen">Streams, with what is seen in them now</caption>
        <thead role="rowgroup"><tr role="row">
          <th v-for="one in columns" :key="one.name" scope="col" role="columnheader" :class="{ n: one.n }"
            :aria-sort="one.of ? (sort === one.name ? (down ? 'descending' : 'ascending') : 'none') : null">
            <button v-if="one.of" type="button" :id="'sort-' + one.name" @click="by(one)">{{ one.text }}<span aria-hidden="true">{{
              sort === one.name ? (down ? " ↓" : " ↑") : "" }}</span></button>
            <span v-else class="head">{{ one.text }}</span>
          </th>
          <th v-if="fleet" scope="col" role="columnheader"><span class="unseen">Actions</span></th>
        </tr></thead>
        <tbody role="rowgroup">
          <tr v-for="row in rows" :key="row.name" role="row" :data-stream="row.name">
            <th scope="row" role="rowheader"><a :href="'/stream/' + encodeURIComponent(row.name)">{{ row.name }}</a>
              <span v-if="row.note" class="why">{{ row.note }}</span></th>
            <td role="cell" data-label="State"><span class="chip" :class="row.state">{{ word(row.state) }}</span></td>
            <td role="cell" data-label="Frame age" class="n">{{ age(row.age_s) }}</td>
            <td role="cell" data-label="Faces" class="n">{{ row.faces }}</td>
            <td role="cell" data-label="Expression" class="said">
              <template v-if="row.label"><span class="dot" :style="{ background: colours[row.label] }"></span>{{ row.label }}
                <span class="muted">{{ percent(row.p) }}</span></template>
              <span v-else-if="row.low" class="chip low">low quality</span>
              <span v-else class="muted">–</span></td>
            <td role="cell" data-label="Valence" class="n">{{ signed(row.valence) }}</td>
            <td role="cell" data-label="Arousal" class="n">{{ signed(row.arousal) }}</td>
            <td role="cell" data-label="Last minute" class="wide"><svg class="spark" viewBox="0 0 108 30" preserveAspectRatio="none"
                aria-hidden="true"><line class="zero" x1="0" x2="108" y1="15" y2="15"/>
              <polyline class="a" :points="lines[row.name]?.a"/><polyline class="v" :points="lines[row.name]?.v"/></svg></td>
            <td role="cell" data-label="Frames/s" class="n">{{ row.fps === null ? "–" : row.fps.toFixed(1) }}</td>
            <td role="cell" data-label="Dropped" class="n wide">{{ count(row.dropped) }}
              <span v-if="row.dropped" class="why">{{ causes(row) }}</span></td>
            <td v-if="fleet" role="cell" class="acts"><template v-if="row.defined">
              <button type="button" class="button small" :disabled="busy" @click="act(row.paused ? 'resume' : 'pause', row.name)">{{
                row.paused ? "Resume" : "Pause" }}<span class="unseen">{{ " " + row.name }}</span></button>
              <button type="button" class="button small danger" :disabled="busy" @click="askRemoval(row.name)">Remove<span class="unseen">{{ " " + row.name }}</span></button></template></td>
          </tr>
        </tbody>
      </table>
      <p v-if="more" class="muted">{{ counted(more, "more stream") }}: use the filter.</p>
      <p v-if="rows.length" class="key"><span><i style="border-color: var(--valence)"></i>valence</span>
        <span><i style="border-color: var(--arousal)"></i>arousal, mean of all faces, −1 to 1</span></p>

      <dialog ref="adding" class="sheet" aria-labelledby="adding-title">
        <form @submit.prevent="add">
          <h2 id="adding-title">Add a stream</h2>
          <label class="field"><span>Name: letters, digits, dots, dashes, underscores</span>
            <input id="add-name" v-model.trim="form.stream" required maxlength="100" autocomplete="off" spellcheck="false"></label>
          <label class="field"><span>Source: an address, or the whole path of a file that the workers have</span>
            <input id="add-source" v-model.trim="form.source" required autocomplete="off" spellcheck="false" placeholder="rtsp://camera/live"></label>
          <div class="pair">
            <label class="field"><span>Frames a second at most</span><input type="number" min="0.01" step="any" v-model="form.sample_fps" placeholder="as the worker is set"></label>
            <label class="field"><span>Faces at most (0: all)</span><input type="number" min="0" step="1" v-model="form.max_faces" placeholder="as the worker is set"></label>
            <label class="field"><span>Priority</span><input type="number" step="1" v-model="form.priority" placeholder="0"></label>
          </div>
          <label class="check"><input type="checkbox" v-model="form.repeat"> Begin a file again when it has ended</label>
          <label class="check"><input type="checkbox" v-model="form.paused"> Define it only: paused</label>
          <p v-if="wrong" class="wrong" role="alert">{{ wrong }}</p>
          <div class="row"><button type="button" class="button" @click="$refs.adding.close()">Cancel</button>
            <button id="add-now" class="button main" :disabled="busy">Add</button></div>
        </form>
      </dialog>
      <dialog ref="removing" class="sheet" aria-labelledby="removing-title">
        <form @submit.prevent="act('remove', removal)">
          <h2 id="removing-title">Remove {{ removal }}?</h2>
          <p>It is watched no more. What it gave stays on the topics.</p>
          <div class="row"><button type="button" class="button" @click="$refs.removing.close()">Keep it</button>
            <button id="remove-now" class="button danger" :disabled="busy">Remove</button></div>
        </form>
      </dialog>
    </div></div>`,
  data: () => ({
    columns: COLUMNS,
    all: {},
    lines: {},
    fleet: false,
    known: false,
    text: "",
    wanted: "",
    sort: "stream",
    down: false,
    busy: false,
    said: "",
    wrong: "",
    removal: "",
    form: {},
  }),
  computed: {
    names() {
      return Object.keys(this.all);
    },
    states() {
      return [...new Set(Object.values(this.all).map((row) => row.state))].sort();
    },
    fitting() {
      const text = this.text.trim().toLowerCase();
      const found = [];
      for (const [name, row] of Object.entries(this.all)) {
        if (this.wanted && row.state !== this.wanted) continue;
        if (text && !name.toLowerCase().includes(text) && !(row.source ?? "").toLowerCase().includes(text)) continue;
        found.push({ ...row, name });
      }
      const column = COLUMNS.find((one) => one.name === this.sort);
      const way = this.down ? -1 : 1;
      if (column.name === "stream") return found.sort((a, b) => way * byName(a.name, b.name));
      const order = (a, b) => (a < b ? -way : a > b ? way : 0);
      return found.sort((a, b) => order(column.of(a), column.of(b)) || byName(a.name, b.name));
    },
    rows() {
      return this.fitting.slice(0, SHOWN);
    },
    more() {
      return this.fitting.length - this.rows.length;
    },
    summary() {
      if (!this.known) return "";
      const n = this.names.length;
      const live = Object.values(this.all).filter((row) => row.state === "live").length;
      const all = `${counted(n, "stream")}, ${live} live`;
      return this.fitting.length === n ? all : `${this.fitting.length} of ${all}`;
    },
  },
  mounted() {
    this.series = {};
    this.$emit("ready");
  },
  methods: {
    age, count, counted, percent, signed,
    word: state,
    causes: (row) => Object.entries(row.drops).map(([cause, n]) => `${state(cause)} ${count(n)}`).join(", "),
    by(column) {
      this.down = this.sort === column.name ? !this.down : column.first < 0;
      this.sort = column.name;
    },
    tell(news) {
      if (news.fresh) [this.all, this.lines, this.series] = [{}, {}, {}];
      if ("known" in news) this.known = news.known;
      if ("fleet" in news) this.fleet = news.fleet;
      apply(this.all, news.rows);
      for (const name of news.rows?.gone ?? []) delete this.lines[name], delete this.series[name];
      for (const [name, steps] of Object.entries(news.sparks ?? {})) this.draw(name, steps);
    },
    draw(name, steps) {
      const before = this.series[name] ?? [];
      const known = before.length && steps[0][0] <= before.at(-1)[0] ? [] : before;
      const last = steps.at(-1)[0];
      const series = [...known, ...steps].filter(([index]) => index > last - STEPS);
      this.series[name] = series;
      const line = (at) => series.map((step) => `${(108 * (step[0] - last + STEPS - 1)) / (STEPS - 1)},${(15 - 14 * step[at]).toFixed(1)}`).join(" ");
      this.lines[name] = { v: line(1), a: line(2) };
    },
    openAdding() {
      this.form = { stream: "", source: "", sample_fps: "", max_faces: "", priority: "", repeat: false, paused: false };
      this.wrong = "";
      this.$refs.adding.showModal();
    },
    add() {
      const number = (text) => (text === "" || text === null ? null : Number(text));
      const { sample_fps, max_faces, priority, ...rest } = this.form;
      this.busy = true;
      this.wrong = "";
      this.$emit("act", { what: "add", ...rest, sample_fps: number(sample_fps), max_faces: number(max_faces), priority: number(priority) ?? 0 });
    },
    askRemoval(name) {
      this.removal = name;
      this.$refs.removing.showModal();
    },
    act(what, stream) {
      this.busy = true;
      this.said = "";
      this.$emit("act", { what, stream });
    },
    answered({ what, ok, text }) {
      this.busy = false;
      if (what === "add" && !ok) {
        this.wrong = text;
        return;
      }
      this.$refs.adding.close();
      this.$refs.removing.close();
      this.say(text);
    },
    say(text) {
      this.said = text;
      clearTimeout(this.saying);
      this.saying = setTimeout(() => (this.said = ""), SAID_MS);
    },
  },
};
