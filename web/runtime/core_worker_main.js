// The worker of microtome/core, which only runs models: build.sh makes core_worker.js of it.
import { boot } from './boot.js';
import { Engine } from './engine.js';

boot(Engine);
