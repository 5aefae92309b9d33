// The top of every page: where to go, and how it is with the bus.
export default {
  props: { page: String, bus: String },
  template: `
    <div>
      <a class="skip" href="#content">To the content</a>
      <header class="bar">
        <a class="brand" href="/">affect-streamer</a>
        <nav aria-label="Pages">
          <a v-for="one in pages" :key="one.at" :href="one.at" :aria-current="one.name === page ? 'page' : null">{{ one.text }}</a>
        </nav>
        <span class="bus" :class="{ away }">{{ bus }}</span>
      </header>
      <div role="status" id="bus-state">
        <p v-if="problem" class="banner" :class="{ bad: known }">{{ problem }}</p>
      </div>
    </div>`,
  data: () => ({
    pages: [
      { name: "streams", at: "/", text: "Streams" },
      { name: "fleet", at: "/fleet", text: "Fleet" },
      { name: "jobs", at: "/jobs", text: "Jobs" },
    ],
    problem: null,
    known: false,
    away: false,
  }),
  mounted() {
    this.$emit("ready");
  },
  methods: {
    tell(news) {
      Object.assign(this, news);
    },
  },
};
