// Files that are dropped or chosen: sent to the service, and again with other columns.

import { ask } from "./service.js";

const byId = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const LONG_MS = 400; // what takes less needs no word about how far it is
const ASK_MS = 250;

/** A file, and which of its columns are looked at. */
export class OpenFile {
  /** @type {Blob | null} */
  #file = null;
  #name = "";
  /** @type {string[]} */
  #columns = [];
  /** @type {string} */
  #target = "";
  #onDataset;
  #onError;

  /**
   * @param {(about: any) => void} onDataset - Called with what the service says of the upload.
   * @param {(error: Error) => void} onError
   */
  constructor(onDataset, onError) {
    this.#onDataset = onDataset;
    this.#onError = onError;
    byId("file").addEventListener("change", () => {
      const [file] = byId("file").files;
      if (file) this.open(file, file.name);
      byId("file").value = "";
    });
    byId("browse").addEventListener("click", () => byId("file").click());
    byId("features").addEventListener("change", () => this.#choose());
    this.#takeDrops();
  }

  /** The columns of the file that can be a target. */
  get columns() {
    return this.#columns;
  }

  /** Open a file with the columns that the service takes by itself. @param {Blob} file @param {string} name */
  async open(file, name) {
    [this.#file, this.#name, this.#columns, this.#target] = [file, name, [], ""];
    await this.#send([]);
  }

  /** Predict another column from all others that were looked at. @param {string} target */
  async setTarget(target) {
    const features = this.#columns.filter((column) => column !== target && (this.#isChosen(column) || column === this.#target));
    this.#target = target;
    await this.#send(features);
  }

  /** Forget the file, as when another dataset is chosen. */
  close() {
    [this.#file, this.#columns] = [null, []];
    byId("columns").hidden = true;
  }

  /** @param {string} column */
  #isChosen(column) {
    return [...byId("features").querySelectorAll("input")].some((box) => box.value === column && box.checked);
  }

  #choose() {
    const features = this.#columns.filter((column) => this.#isChosen(column));
    if (features.length) this.#send(features);
    else this.#onError(new Error("Choose one feature at least."));
  }

  /** @param {string[]} features - None for all. */
  async #send(features) {
    const form = new FormData();
    if (this.#target) form.append("target", this.#target);
    for (const feature of features) form.append("columns", feature);
    form.append("name", this.#name.slice(0, 200));
    form.append("file", this.#file, this.#name);
    const id = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
    const sent = ask("datasets", { body: form, headers: { "Upload-Id": id } });
    this.#follow(id, sent);
    try {
      const about = await sent;
      if (!this.#columns.length) this.#columns = [...about.feature_names, ...about.target_names];
      [this.#target] = about.target_names;
      this.#showFeatures(about.feature_names);
      this.#onDataset(about);
    } catch (error) {
      this.#onError(error);
    }
  }

  /** Say how far an upload is, where it takes long. @param {string} id @param {Promise<any>} sent */
  async #follow(id, sent) {
    let isUnderWay = true;
    const ended = () => {
      isUnderWay = false;
    };
    sent.then(ended, ended);
    await pause(LONG_MS);
    const line = byId("uploading");
    while (isUnderWay) {
      const found = await ask(`uploads/${id}`).catch(() => null);
      if (found && isUnderWay) {
        const share = Math.floor((100 * found.bytes_read) / found.bytes_expected);
        line.textContent = share < 100 ? `Sending ${this.#name}: ${share} %` : `Reading ${this.#name} …`;
        line.hidden = false;
      }
      await pause(ASK_MS);
    }
    line.hidden = true;
  }

  /** @param {string[]} chosen */
  #showFeatures(chosen) {
    const boxes = this.#columns.filter((column) => column !== this.#target).map((column) => {
      const [label, box] = [document.createElement("label"), document.createElement("input")];
      Object.assign(box, { type: "checkbox", value: column, checked: chosen.includes(column) });
      label.append(box, column);
      return label;
    });
    byId("features").replaceChildren(...boxes);
    byId("columns").hidden = boxes.length < 2;
  }

  #takeDrops() {
    let depth = 0;
    const over = (change) => {
      depth = Math.max(0, depth + change);
      byId("drop").hidden = depth === 0;
    };
    const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    addEventListener("dragenter", (event) => hasFile(event) && over(1));
    addEventListener("dragleave", (event) => hasFile(event) && over(-1));
    addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      depth = 0;
      over(0);
      const [file] = event.dataTransfer.files;
      if (file) this.open(file, file.name);
    });
  }
}
