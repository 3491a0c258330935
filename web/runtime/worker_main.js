// The worker for models. build.sh makes worker.js of this file and all that it imports: one file, because bundlers and people copy
// a worker's file and not what it imports.
import { boot } from './boot.js';
import { WholeEngine } from './engine_whole.js';

boot(WholeEngine);
